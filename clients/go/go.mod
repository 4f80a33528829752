module github.com/honeyguide/honeyguide/clients/go

go 1.23

require (
	google.golang.org/genproto/googleapis/rpc v0.0.0-20250528174236-200df99c418a
	google.golang.org/grpc v1.75.0
	google.golang.org/protobuf v1.36.6
)
