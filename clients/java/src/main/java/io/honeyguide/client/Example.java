package io.honeyguide.client;

import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.StreamObserver;
import io.honeyguide.v1.DeleteUserRequest;
import io.honeyguide.v1.Event;
import io.honeyguide.v1.EventServiceGrpc;
import io.honeyguide.v1.History;
import io.honeyguide.v1.Item;
import io.honeyguide.v1.RecommendRequest;
import io.honeyguide.v1.RecommendResponse;
import io.honeyguide.v1.RecommendStreamRequest;
import io.honeyguide.v1.RecommendStreamResponse;
import io.honeyguide.v1.RecommenderServiceGrpc;
import io.honeyguide.v1.RecordEventsRequest;
import io.honeyguide.v1.ResultRow;
import io.honeyguide.v1.StreamOptions;
import io.honeyguide.v1.UserBatch;
import io.honeyguide.v1.UserRow;
import io.honeyguide.v1.UserState;
import java.io.File;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;

/** Everything that a caller needs, a line for each: java io.honeyguide.client.Example ADDRESS [CA.pem TOKEN_FILE] */
public final class Example {
  private Example() {}

  public static void main(String[] given) throws Exception {
    String address = given.length > 0 ? given[0] : "127.0.0.1:50051";
    File ca = given.length > 2 ? new File(given[1]) : null;
    String token = given.length > 2 ? Files.readString(Path.of(given[2])).strip() : null;
    if (token != null) {
      ManagedChannel stranger = Honeyguide.connect(address, ca, null);
      try {
        RecommenderServiceGrpc.newBlockingStub(stranger).recommend(RecommendRequest.getDefaultInstance());
      } catch (StatusRuntimeException refused) {
        System.out.println("tls and token: without a token " + Honeyguide.failureOf(refused).reason());
      } finally {
        stranger.shutdown();
      }
    }
    ManagedChannel channel = Honeyguide.connect(address, ca, token);
    try {
      run(channel, "example-" + UUID.randomUUID());
    } finally {
      channel.shutdown().awaitTermination(5, TimeUnit.SECONDS);
    }
  }

  private static void run(ManagedChannel channel, String user) throws Exception {
    var recommender = RecommenderServiceGrpc.newBlockingStub(channel);
    var events = EventServiceGrpc.newBlockingStub(channel);
    var asked = RecommendRequest.newBuilder().setUserId(user).setK(5).build();

    RecommendResponse popular = recommender.withDeadlineAfter(5, TimeUnit.SECONDS).recommend(asked);
    show("recommend", popular);

    List<String> seen = popular.getItemsList().stream().limit(3).map(Item::getItemId).collect(Collectors.toList());
    var views = RecordEventsRequest.newBuilder();
    for (String item : seen) {
      views.addEvents(Event.newBuilder()
          .setEventId(UUID.randomUUID().toString()) // so that it may be sent again and is stored once
          .setUserId(user).setItemId(item).setEventType("view").setRequestId(popular.getRequestId()));
    }
    System.out.println("record: " + events.recordEvents(views.build()).getAccepted() + " accepted");

    RecommendResponse next = recommender.recommend(asked);
    if (next.getUserState() != UserState.USER_STATE_STORED) {
      System.err.println("the server knows no events of the user: " + name(next) + "; did userId arrive?");
      System.exit(1);
    }
    show("recommend again", next);

    var history = History.newBuilder().addAllItemIds(seen);
    show("history", recommender.recommend(RecommendRequest.newBuilder().setHistory(history).setK(5).build()));

    try {
      recommender.recommend(RecommendRequest.newBuilder().setUserId("").setK(0).build());
    } catch (StatusRuntimeException refused) {
      Honeyguide.Failure failure = Honeyguide.failureOf(refused);
      System.out.println("error: " + failure.reason() + ", fields " + String.join(" ", failure.fields()));
    }

    try {
      recommender.withDeadlineAfter(1, TimeUnit.NANOSECONDS).recommend(asked);
    } catch (StatusRuntimeException late) {
      System.out.println("deadline: " + late.getStatus().getCode());
    }

    System.out.println("stream: " + stream(channel, user) + " users");

    int answered = 0;
    for (; answered < 20; answered++) recommender.recommend(asked); // beyond a limit of the caller gRPC tries again
    System.out.println("retry: " + answered + " answered");

    var forgotten = events.deleteUser(DeleteUserRequest.newBuilder().setUserId(user).build());
    System.out.println("forget: " + forgotten.getDeletedEvents() + " events");
  }

  /** Recommends to 1,000 users, of whom the server knows one, in batches of 250. */
  private static int stream(ManagedChannel channel, String user) throws Exception {
    var done = new CompletableFuture<Integer>();
    var answers = new StreamObserver<RecommendStreamResponse>() {
      private int users;

      @Override
      public void onNext(RecommendStreamResponse answer) {
        users += (int) answer.getRowsList().stream().filter(ResultRow::hasRanked).count();
      }

      @Override
      public void onError(Throwable error) {
        done.completeExceptionally(error);
      }

      @Override
      public void onCompleted() {
        done.complete(users);
      }
    };
    var calls = RecommenderServiceGrpc.newStub(channel).withDeadlineAfter(30, TimeUnit.SECONDS).recommendStream(answers);
    calls.onNext(RecommendStreamRequest.newBuilder().setOptions(StreamOptions.newBuilder().setK(5)).build());
    for (int sequence = 0; sequence < 4; sequence++) {
      var batch = UserBatch.newBuilder().setSequence(sequence);
      for (int row = 0; row < 250; row++) {
        batch.addRows(UserRow.newBuilder().setUserId(row == 0 ? user : "visitor-" + row));
      }
      calls.onNext(RecommendStreamRequest.newBuilder().setBatch(batch).build());
    }
    calls.onCompleted();
    return done.get();
  }

  private static void show(String step, RecommendResponse answer) {
    System.out.println(step + ": " + name(answer) + ", " + answer.getItemsCount() + " items");
  }

  private static String name(RecommendResponse answer) {
    return answer.getUserState().name().replace("USER_STATE_", "");
  }
}
