package io.honeyguide.client;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import io.grpc.CallCredentials;
import io.grpc.ChannelCredentials;
import io.grpc.CompositeChannelCredentials;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.TlsChannelCredentials;
import io.grpc.protobuf.StatusProto;
import java.io.File;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Executor;
import java.util.concurrent.TimeUnit;

/** Connects to a Honeyguide server, with retries that fit it; the stubs of its services are in io.honeyguide.v1. */
public final class Honeyguide {
  /**
   * As ../service-config.json: 5 seconds for a call, and up to 5 tries where a failure passes, after the delay that the server
   * asks for. Record events with an event_id: those are stored once however often they come.
   */
  public static final Map<String, ?> SERVICE_CONFIG =
      Map.of("methodConfig", List.of(Map.of(
          "name", List.of(
              Map.of("service", "honeyguide.v1.RecommenderService"), Map.of("service", "honeyguide.v1.EventService")),
          "timeout", "5s",
          "retryPolicy", Map.of(
              "maxAttempts", 5.0,
              "initialBackoff", "0.1s",
              "maxBackoff", "5s",
              "backoffMultiplier", 2.0,
              "retryableStatusCodes", List.of("UNAVAILABLE", "RESOURCE_EXHAUSTED"))),
          Map.of("name", List.of(
              Map.of("service", "honeyguide.v1.RecommenderService", "method", "RecommendStream")))));

  private Honeyguide() {}

  /** Why a call failed: one of Honeyguide's reasons, "" where the server did not answer; and the fields at fault. */
  public record Failure(String reason, List<String> fields) {}

  /**
   * Makes a channel, which connects at its first call.
   *
   * @param ca PEM file of the authority to trust; null: no TLS
   * @param token the caller's, which is sent over TLS alone; null: none
   */
  public static ManagedChannel connect(String address, File ca, String token) throws IOException {
    ChannelCredentials credentials = InsecureChannelCredentials.create();
    if (ca != null) credentials = TlsChannelCredentials.newBuilder().trustManager(ca).build();
    if (token != null) {
      if (ca == null) throw new IllegalArgumentException("a token needs ca: it is sent over TLS alone");
      credentials = CompositeChannelCredentials.create(credentials, new Bearer(token));
    }
    return Grpc.newChannelBuilder(address, credentials)
        .defaultServiceConfig(SERVICE_CONFIG)
        .enableRetry()
        .keepAliveTime(30, TimeUnit.SECONDS)
        .maxInboundMessageSize(16 << 20)
        .build();
  }

  /** Reads what a failed call says. */
  public static Failure failureOf(Throwable error) {
    String reason = "";
    List<String> fields = new ArrayList<>();
    com.google.rpc.Status status = StatusProto.fromThrowable(error);
    try {
      for (Any detail : status == null ? List.<Any>of() : status.getDetailsList()) {
        if (detail.is(ErrorInfo.class)) reason = detail.unpack(ErrorInfo.class).getReason();
        if (detail.is(BadRequest.class)) {
          detail.unpack(BadRequest.class).getFieldViolationsList().forEach(each -> fields.add(each.getField()));
        }
      }
    } catch (InvalidProtocolBufferException broken) {
      throw new IllegalStateException("details of an error that cannot be read", broken);
    }
    return new Failure(reason, fields);
  }

  private static final class Bearer extends CallCredentials {
    private static final Metadata.Key<String> KEY = Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);
    private final String token;

    Bearer(String token) {
      this.token = token;
    }

    @Override
    public void applyRequestMetadata(RequestInfo request, Executor executor, MetadataApplier applier) {
      Metadata metadata = new Metadata();
      metadata.put(KEY, "Bearer " + token);
      applier.apply(metadata);
    }

    @Override
    public void thisUsesUnstableApi() {} // abstract in gRPC before 1.60
  }
}
