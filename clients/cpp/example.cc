// Everything that a caller needs, a line for each: build/example ADDRESS [CA.pem TOKEN_FILE]
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "honeyguide/v1/event_service.grpc.pb.h"
#include "honeyguide/v1/recommender_service.grpc.pb.h"

namespace pb = honeyguide::v1;
using std::chrono::milliseconds;

// As ../service-config.json: 5 seconds for a call, and up to 5 tries where a failure passes, after the delay that the server
// asks for. Record events with an event_id: those are stored once however often they come.
const char* const kServiceConfig = R"({
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
})";

std::string Read(const std::string& file) {
  std::ifstream stream(file, std::ios::binary);
  if (!stream) throw std::runtime_error("cannot read " + file);
  return {std::istreambuf_iterator<char>(stream), {}};
}

// Makes a channel, which connects at its first call; with TLS where `ca` is a certificate, with a token where there is one.
std::shared_ptr<grpc::Channel> Connect(const std::string& address, const std::string& ca, const std::string& token) {
  grpc::ChannelArguments arguments;
  arguments.SetServiceConfigJSON(kServiceConfig);
  arguments.SetMaxReceiveMessageSize(16 << 20);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 30'000);
  auto credentials = grpc::InsecureChannelCredentials();
  if (!ca.empty()) {
    grpc::SslCredentialsOptions options;
    options.pem_root_certs = ca;
    credentials = grpc::SslCredentials(options);
    if (!token.empty())
      credentials = grpc::CompositeChannelCredentials(credentials, grpc::AccessTokenCredentials(token));
  }
  return grpc::CreateCustomChannel(address, credentials, arguments);
}

// Says why a call failed: one of Honeyguide's reasons; and which fields are at fault.
std::string Reason(const grpc::Status& status, std::string* fields = nullptr) {
  google::rpc::Status rich;
  google::rpc::ErrorInfo info;
  google::rpc::BadRequest bad;
  rich.ParseFromString(status.error_details());
  for (const auto& detail : rich.details()) {
    detail.UnpackTo(&info);
    if (fields && detail.UnpackTo(&bad))
      for (const auto& violation : bad.field_violations()) *fields += " " + violation.field();
  }
  return info.reason();
}

void Check(const grpc::Status& status) {
  if (!status.ok()) throw std::runtime_error(std::to_string(status.error_code()) + ": " + status.error_message());
}

std::string Name(pb::UserState state) { return pb::UserState_Name(state).substr(std::string("USER_STATE_").size()); }

pb::RecommendResponse Recommend(pb::RecommenderService::Stub& stub, const pb::RecommendRequest& request) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + milliseconds(2000));
  pb::RecommendResponse response;
  Check(stub.Recommend(&context, request, &response));
  return response;
}

// Recommends to 1,000 users, of whom the server knows one, in batches of 250.
int Stream(pb::RecommenderService::Stub& stub, const std::string& user) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + milliseconds(30'000));
  auto calls = stub.RecommendStream(&context);
  std::thread sender([&] {  // sends while the answers are read
    pb::RecommendStreamRequest options;
    options.mutable_options()->set_k(5);
    calls->Write(options);
    for (int sequence = 0; sequence < 4; ++sequence) {
      pb::RecommendStreamRequest request;
      request.mutable_batch()->set_sequence(sequence);
      for (int row = 0; row < 250; ++row)
        request.mutable_batch()->add_rows()->set_user_id(row ? "visitor-" + std::to_string(row) : user);
      calls->Write(request);
    }
    calls->WritesDone();
  });
  int users = 0;
  pb::RecommendStreamResponse response;
  while (calls->Read(&response))
    for (const auto& row : response.rows()) users += row.has_ranked();
  sender.join();
  Check(calls->Finish());
  return users;
}

void Run(const std::vector<std::string>& given) {
  const std::string address = given.empty() ? "127.0.0.1:50051" : given[0];
  std::string ca, token;
  if (given.size() > 2) {
    ca = Read(given[1]);
    token = Read(given[2]);
    token.erase(token.find_last_not_of(" \r\n") + 1);
    auto stranger = pb::RecommenderService::NewStub(Connect(address, ca, ""));
    grpc::ClientContext context;
    pb::RecommendResponse response;
    const auto status = stranger->Recommend(&context, {}, &response);
    std::cout << "tls and token: without a token " << Reason(status) << std::endl;
  }
  auto channel = Connect(address, ca, token);
  auto recommender = pb::RecommenderService::NewStub(channel);
  auto events = pb::EventService::NewStub(channel);
  const std::string user = "example-" + std::to_string(std::random_device{}()) + std::to_string(std::random_device{}());

  pb::RecommendRequest request;
  request.set_user_id(user);
  request.set_k(5);
  const auto popular = Recommend(*recommender, request);
  std::cout << "recommend: " << Name(popular.user_state()) << ", " << popular.items_size() << " items" << std::endl;

  pb::RecordEventsRequest views;
  pb::History history;
  for (int i = 0; i < 3 && i < popular.items_size(); ++i) {
    auto* event = views.add_events();
    event->set_event_id(user + "/" + std::to_string(i));  // so that it may be sent again and is stored once
    event->set_user_id(user);
    event->set_item_id(popular.items(i).item_id());
    event->set_event_type("view");
    event->set_request_id(popular.request_id());
    history.add_item_ids(popular.items(i).item_id());
  }
  grpc::ClientContext recording;
  pb::RecordEventsResponse recorded;
  Check(events->RecordEvents(&recording, views, &recorded));
  std::cout << "record: " << recorded.accepted() << " accepted" << std::endl;

  const auto next = Recommend(*recommender, request);
  if (next.user_state() != pb::USER_STATE_STORED)
    throw std::runtime_error("the server knows no events of the user: " + Name(next.user_state()) + "; did user_id arrive?");
  std::cout << "recommend again: " << Name(next.user_state()) << ", " << next.items_size() << " items" << std::endl;

  pb::RecommendRequest inline_request;
  *inline_request.mutable_history() = history;
  inline_request.set_k(5);
  const auto own = Recommend(*recommender, inline_request);
  std::cout << "history: " << Name(own.user_state()) << ", " << own.items_size() << " items" << std::endl;

  pb::RecommendRequest bad;
  bad.set_user_id("");
  bad.set_k(0);
  pb::RecommendResponse response;
  grpc::ClientContext failing;
  std::string fields;
  const auto reason = Reason(recommender->Recommend(&failing, bad, &response), &fields);
  std::cout << "error: " << reason << ", fields" << fields << std::endl;

  grpc::ClientContext late;
  late.set_deadline(std::chrono::system_clock::now() - milliseconds(1000));  // it has passed already
  if (recommender->Recommend(&late, request, &response).error_code() == grpc::StatusCode::DEADLINE_EXCEEDED)
    std::cout << "deadline: DEADLINE_EXCEEDED" << std::endl;

  std::cout << "stream: " << Stream(*recommender, user) << " users" << std::endl;

  int answered = 0;
  for (; answered < 20; ++answered) Recommend(*recommender, request);  // beyond a limit of the caller gRPC tries again
  std::cout << "retry: " << answered << " answered" << std::endl;

  grpc::ClientContext forgetting;
  pb::DeleteUserRequest whom;
  pb::DeleteUserResponse forgotten;
  whom.set_user_id(user);
  Check(events->DeleteUser(&forgetting, whom, &forgotten));
  std::cout << "forget: " << forgotten.deleted_events() << " events" << std::endl;
}

int main(int count, char** arguments) {
  try {
    Run({arguments + 1, arguments + count});
  } catch (const std::exception& error) {
    std::cerr << error.what() << std::endl;
    return 1;
  }
}
