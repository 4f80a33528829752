# frozen_string_literal: true

# Everything that a caller needs, a line for each: ruby -Ilib example.rb ADDRESS [CA.pem TOKEN_FILE]
require "honeyguide"
require "securerandom"
include Honeyguide::V1

$stdout.sync = true
address = ARGV.fetch(0, "127.0.0.1:50051")
ca = File.read(ARGV[1]) if ARGV[1]
token = File.read(ARGV[2]).strip if ARGV[2]
user = "example-#{SecureRandom.uuid}"

def name_of(state) = state.to_s.delete_prefix("USER_STATE_")

if token
  begin
    Honeyguide::Connection.new(address, ca:).recommender.recommend(RecommendRequest.new)
  rescue GRPC::BadStatus => e
    puts "tls and token: without a token #{Honeyguide.reason(e).first}"
  end
end

server = Honeyguide::Connection.new(address, ca:, token:)
asked = RecommendRequest.new(user_id: user, k: 5)

popular = server.recommender.recommend(asked, deadline: Time.now + 2)
puts "recommend: #{name_of(popular.user_state)}, #{popular.items.size} items"

seen = popular.items.first(3).map(&:item_id)
views = seen.map do |item|
  # With an id of its own, an event may be sent again and is stored once.
  Event.new(event_id: SecureRandom.uuid, user_id: user, item_id: item, event_type: "view", request_id: popular.request_id)
end
recorded = server.events.record_events(RecordEventsRequest.new(events: views))
puts "record: #{recorded.accepted} accepted"

following = server.recommender.recommend(asked)
unless following.user_state == :USER_STATE_STORED
  abort "the server knows no events of the user: #{name_of(following.user_state)}; did user_id arrive?"
end
puts "recommend again: #{name_of(following.user_state)}, #{following.items.size} items"

own = server.recommender.recommend(RecommendRequest.new(history: History.new(item_ids: seen), k: 5))
puts "history: #{name_of(own.user_state)}, #{own.items.size} items"

begin
  server.recommender.recommend(RecommendRequest.new(user_id: "", k: 0))
rescue GRPC::InvalidArgument => e
  reason, fields = Honeyguide.reason(e)
  puts "error: #{reason}, fields #{fields.join(' ')}"
end

begin
  server.recommender.recommend(asked, deadline: Time.now - 1) # it has passed already
rescue GRPC::DeadlineExceeded
  puts "deadline: DEADLINE_EXCEEDED"
end

batches = Enumerator.new do |out|
  out << RecommendStreamRequest.new(options: StreamOptions.new(k: 5))
  4.times do |sequence|
    rows = (0...250).map { |row| UserRow.new(user_id: row.zero? ? user : "visitor-#{row}") }
    out << RecommendStreamRequest.new(batch: UserBatch.new(sequence:, rows:))
  end
end
users = server.recommender.recommend_stream(batches, deadline: Time.now + 30).sum do |answer|
  answer.rows.count { |row| row.result == :ranked }
end
puts "stream: #{users} users"

answered = 20.times.count { server.recommender.recommend(asked) } # beyond a limit of the caller gRPC tries again
puts "retry: #{answered} answered"

forgotten = server.events.delete_user(DeleteUserRequest.new(user_id: user))
puts "forget: #{forgotten.deleted_events} events"
