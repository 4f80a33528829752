# frozen_string_literal: true

# Connects to a Honeyguide server, with deadlines and retries that fit it.
require "grpc"
require "google/protobuf/well_known_types"
require "google/rpc/error_details_pb"
require "google/rpc/status_pb"
require "honeyguide/v1/event_service_services_pb"
require "honeyguide/v1/model_service_services_pb"
require "honeyguide/v1/recommender_service_services_pb"

# Client of a recommender.
module Honeyguide
  # Gives a call 5 seconds unless it has a deadline of its own, and up to 5 tries where a failure passes, after the delay
  # that the server asks for. Record events with an event_id: those are stored once however often they come.
  SERVICE_CONFIG = <<~JSON
    {
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
    }
  JSON

  # The services of a server at an address. It connects at the first call.
  class Connection
    attr_reader :recommender, :events, :models

    # +ca+: the certificate of the authority to trust, PEM; nil: no TLS. +token+: the caller's; it is sent over TLS alone.
    def initialize(address, ca: nil, token: nil)
      raise ArgumentError, "a token needs ca: a token is sent over TLS alone" if token && !ca

      credentials = ca ? GRPC::Core::ChannelCredentials.new(ca) : :this_channel_is_insecure
      if token
        bearer = ->(_context) { { authorization: "Bearer #{token}" } }
        credentials = credentials.compose(GRPC::Core::CallCredentials.new(bearer))
      end
      given = { channel_args: { "grpc.service_config" => SERVICE_CONFIG,
                                "grpc.max_receive_message_length" => 16 << 20,
                                "grpc.keepalive_time_ms" => 30_000 } }
      @recommender = V1::RecommenderService::Stub.new(address, credentials, **given)
      @events = V1::EventService::Stub.new(address, credentials, **given)
      @models = V1::ModelService::Stub.new(address, credentials, **given)
    end
  end

  # Returns why a call failed, one of Honeyguide's reasons, and the fields at fault.
  def self.reason(error)
    details = error.to_rpc_status&.details.to_a
    info = details.find { |each| each.is(Google::Rpc::ErrorInfo) }&.unpack(Google::Rpc::ErrorInfo)
    bad = details.find { |each| each.is(Google::Rpc::BadRequest) }&.unpack(Google::Rpc::BadRequest)
    [info&.reason.to_s, bad ? bad.field_violations.map(&:field) : []]
  end
end
