// Package honeyguide connects to a Honeyguide server, with deadlines and retries that fit it. The messages and the stubs
// of its services are in honeyguidev1.
package honeyguide

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
)

// ServiceConfig gives a call 5 seconds unless its context has less, and up to 5 tries where a failure passes, after the
// delay that the server asks for. Record events with an event_id: those are stored once however often they come.
const ServiceConfig = `{
  "methodConfig": [
    {
      "name": [
        { "service": "honeyguide.v1.RecommenderService" },
        { "service": "honeyguide.v1.EventService" }
      ],
      "timeout": "5s",
      "retryPolicy": {
        "maxAttempts": 5,
        "initialBackoff": "0.1s",
        "maxBackoff": "5s",
        "backoffMultiplier": 2,
        "retryableStatusCodes": ["UNAVAILABLE", "RESOURCE_EXHAUSTED"]
      }
    },
    {
      "name": [{ "service": "honeyguide.v1.RecommenderService", "method": "RecommendStream" }]
    }
  ]
}`

// Options say how to reach a closed server; the zero value is an open one, without TLS.
type Options struct {
	// CA is the certificate of the authority to trust, PEM. Nil: no TLS.
	CA []byte
	// Token is the caller's; it is sent over TLS alone. "": none.
	Token string
}

// Dial makes a connection, which dials at its first call.
func Dial(address string, options Options) (*grpc.ClientConn, error) {
	// WithInsecure and Dial, not their newer names: they work throughout grpc-go 1.x, and distributions carry old ones.
	security := grpc.WithInsecure()
	if options.CA != nil {
		authorities := x509.NewCertPool()
		if !authorities.AppendCertsFromPEM(options.CA) {
			return nil, errors.New("honeyguide: CA holds no certificate; allowed: PEM")
		}
		security = grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: authorities}))
	}
	dial := []grpc.DialOption{
		security,
		grpc.WithDefaultServiceConfig(ServiceConfig),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(16 << 20)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 20 * time.Second}),
	}
	if options.Token != "" {
		dial = append(dial, grpc.WithPerRPCCredentials(bearer(options.Token)))
	}
	return grpc.Dial(address, dial...)
}

// Reason returns why a call failed, one of Honeyguide's reasons such as "INVALID_FIELD", and the fields at fault.
func Reason(err error) (reason string, fields []string) {
	for _, detail := range status.Convert(err).Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			reason = detail.Reason
		case *errdetails.BadRequest:
			for _, violation := range detail.FieldViolations {
				fields = append(fields, violation.Field)
			}
		}
	}
	return reason, fields
}

type bearer string

func (token bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(token)}, nil
}

func (bearer) RequireTransportSecurity() bool { return true }
