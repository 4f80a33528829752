// Everything that a caller needs, a line for each: go run ./example ADDRESS [CA.pem TOKEN_FILE]
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	honeyguide "github.com/honeyguide/honeyguide/clients/go"
	pb "github.com/honeyguide/honeyguide/clients/go/honeyguidev1"
)

func main() {
	log.SetFlags(0)
	address, options := "127.0.0.1:50051", honeyguide.Options{}
	if len(os.Args) > 1 {
		address = os.Args[1]
	}
	if len(os.Args) > 3 {
		options.CA = read(os.Args[2])
		options.Token = strings.TrimSpace(string(read(os.Args[3])))
		stranger := pb.NewRecommenderServiceClient(dial(address, honeyguide.Options{CA: options.CA}))
		_, err := stranger.Recommend(context.Background(), &pb.RecommendRequest{})
		reason, _ := honeyguide.Reason(err)
		fmt.Printf("tls and token: without a token %s\n", reason)
	}
	connection := dial(address, options)
	defer connection.Close()
	recommender, events := pb.NewRecommenderServiceClient(connection), pb.NewEventServiceClient(connection)
	userID := fmt.Sprintf("example-%d", time.Now().UnixNano())
	ctx := context.Background()

	short, cancel := context.WithTimeout(ctx, 2*time.Second)
	popular, err := recommender.Recommend(short, &pb.RecommendRequest{UserId: &userID, K: proto.Int32(5)})
	cancel()
	check(err)
	fmt.Printf("recommend: %s, %d items\n", state(popular.UserState), len(popular.Items))

	var seen []string
	var views []*pb.Event
	for _, item := range popular.Items[:3] {
		seen = append(seen, item.ItemId)
		views = append(views, &pb.Event{
			EventId: userID + "/" + item.ItemId, // so that it may be sent again and is stored once
			UserId:  userID, ItemId: item.ItemId, EventType: "view", RequestId: popular.RequestId,
		})
	}
	recorded, err := events.RecordEvents(ctx, &pb.RecordEventsRequest{Events: views})
	check(err)
	fmt.Printf("record: %d accepted\n", recorded.Accepted)

	next, err := recommender.Recommend(ctx, &pb.RecommendRequest{UserId: &userID, K: proto.Int32(5)})
	check(err)
	if next.UserState != pb.UserState_USER_STATE_STORED {
		log.Fatalf("the server knows no events of the user: %s; did UserId arrive?", state(next.UserState))
	}
	fmt.Printf("recommend again: %s, %d items\n", state(next.UserState), len(next.Items))

	own, err := recommender.Recommend(ctx, &pb.RecommendRequest{History: &pb.History{ItemIds: seen}, K: proto.Int32(5)})
	check(err)
	fmt.Printf("history: %s, %d items\n", state(own.UserState), len(own.Items))

	_, err = recommender.Recommend(ctx, &pb.RecommendRequest{UserId: proto.String(""), K: proto.Int32(0)})
	reason, fields := honeyguide.Reason(err)
	fmt.Printf("error: %s, fields %s\n", reason, strings.Join(fields, " "))

	none, cancel := context.WithTimeout(ctx, time.Nanosecond)
	_, err = recommender.Recommend(none, &pb.RecommendRequest{UserId: &userID})
	cancel()
	if status.Code(err) == codes.DeadlineExceeded {
		fmt.Println("deadline: DEADLINE_EXCEEDED")
	}

	fmt.Printf("stream: %d users\n", stream(recommender, userID))

	answered := 0
	for ; answered < 20; answered++ { // beyond a limit of the caller gRPC waits, and tries again
		_, err = recommender.Recommend(ctx, &pb.RecommendRequest{UserId: &userID})
		check(err)
	}
	fmt.Printf("retry: %d answered\n", answered)

	forgotten, err := events.DeleteUser(ctx, &pb.DeleteUserRequest{UserId: userID})
	check(err)
	fmt.Printf("forget: %d events\n", forgotten.DeletedEvents)
}

// stream recommends to 1,000 users, of whom the server knows one, in batches of 250.
func stream(recommender pb.RecommenderServiceClient, userID string) (users int) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	calls, err := recommender.RecommendStream(ctx)
	check(err)
	go func() { // sends while the answers are read; an error comes out of Recv
		options := &pb.StreamOptions{K: proto.Int32(5)}
		_ = calls.Send(&pb.RecommendStreamRequest{Message: &pb.RecommendStreamRequest_Options{Options: options}})
		for sequence := 0; sequence < 4; sequence++ {
			batch := &pb.UserBatch{Sequence: int64(sequence), Rows: []*pb.UserRow{{UserId: &userID}}}
			for row := 1; row < 250; row++ {
				batch.Rows = append(batch.Rows, &pb.UserRow{UserId: proto.String(fmt.Sprintf("visitor-%d", row))})
			}
			_ = calls.Send(&pb.RecommendStreamRequest{Message: &pb.RecommendStreamRequest_Batch{Batch: batch}})
		}
		_ = calls.CloseSend()
	}()
	for {
		answer, err := calls.Recv()
		if err == io.EOF {
			return users
		}
		check(err)
		for _, row := range answer.Rows {
			if row.GetRanked() != nil {
				users++
			}
		}
	}
}

func dial(address string, options honeyguide.Options) *grpc.ClientConn {
	connection, err := honeyguide.Dial(address, options)
	check(err)
	return connection
}

func state(of pb.UserState) string { return strings.TrimPrefix(of.String(), "USER_STATE_") }

func read(file string) []byte {
	data, err := os.ReadFile(file)
	check(err)
	return data
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
