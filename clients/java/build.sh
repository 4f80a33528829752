#!/bin/sh
# Builds target/classes without Maven, with Debian's protoc, grpc_java_plugin and jars: CLASSPATH=… GOOGLEAPIS=… sh build.sh
# GOOGLEAPIS is a folder with google/rpc/error_details.proto: Debian's jar is older than ErrorInfo.
set -eu
cd "$(dirname "$0")"
rm -rf target
mkdir -p target/generated target/classes
protoc -I ../../protos --java_out=target/generated --grpc-java_out=target/generated \
  --plugin=protoc-gen-grpc-java="$(command -v grpc_java_plugin)" ../../protos/honeyguide/v1/*.proto
protoc -I "$GOOGLEAPIS" --java_out=target/generated "$GOOGLEAPIS/google/rpc/error_details.proto"
# What grpc-java generates bears an annotation that Java has had elsewhere since version 11, and that nobody reads.
sed -i '/^@javax\.annotation\.Generated(/,/^ *comments = .*)$/d' target/generated/io/honeyguide/v1/*Grpc.java
find src/main/java target/generated -name '*.java' > target/sources
javac -d target/classes @target/sources
