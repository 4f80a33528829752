# frozen_string_literal: true

Gem::Specification.new do |spec|
  spec.name = "honeyguide"
  spec.version = "0.1.0"
  spec.summary = "Client of Honeyguide, a recommender that knows what users just did"
  spec.authors = ["Honeyguide"]
  spec.license = "Apache-2.0"
  spec.required_ruby_version = ">= 3.1"
  spec.files = Dir["lib/**/*.rb", "example.rb", "README.md"] # after `rake generate`
  spec.add_dependency "google-protobuf", ">= 3.21"
  spec.add_dependency "googleapis-common-protos-types", ">= 1.4"
  spec.add_dependency "grpc", ">= 1.51"
  spec.add_development_dependency "grpc-tools", ">= 1.51"
  spec.add_development_dependency "rake", ">= 13"
end
