package hadooptoken_test

import (
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/tokenwheel/tokenwheel/hadooptoken"
	"github.com/tokenwheel/tokenwheel/internal/hadooppb"
)

func BenchmarkReadFile0(b *testing.B)  { benchmarkRead(b, hadooptoken.FormatJava) }
func BenchmarkReadFile1(b *testing.B)  { benchmarkRead(b, hadooptoken.FormatProtobuf) }
func BenchmarkWriteFile0(b *testing.B) { benchmarkWrite(b, hadooptoken.FormatJava) }
func BenchmarkWriteFile1(b *testing.B) { benchmarkWrite(b, hadooptoken.FormatProtobuf) }

// The file of the benchmarks holds six tokens and two secrets, in memory.
func benchmarkRead(b *testing.B, format hadooptoken.Format) {
	file := marshalled(b, javaCredentials(b)["multi"], format)
	b.SetBytes(int64(len(file)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := hadooptoken.Unmarshal(file, hadooptoken.Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}

func benchmarkWrite(b *testing.B, format hadooptoken.Format) {
	c := javaCredentials(b)["multi"]
	b.SetBytes(int64(len(marshalled(b, c, format))))
	b.ReportAllocs()
	for b.Loop() {
		marshalled(b, c, format)
	}
}

func BenchmarkReadIdentifier(b *testing.B) {
	j := javaTokens(b)["hdfs"]
	b.ReportAllocs()
	for b.Loop() {
		if _, err := hadooptoken.ParseIdentifier(j.Kind, j.Identifier); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkWriteIdentifier(b *testing.B) {
	id := wantIdentifier(b, javaTokens(b)["hdfs"])
	b.ReportAllocs()
	for b.Loop() {
		if _, err := hadooptoken.MarshalIdentifier(id); err != nil {
			b.Fatal(err)
		}
	}
}

// The peer of format 1: the protobuf runtime over the same bytes, which checks no
// limit and makes no map.
func BenchmarkReadFile1ByProtobuf(b *testing.B) {
	file := marshalled(b, javaCredentials(b)["multi"], hadooptoken.FormatProtobuf)
	message, n := protowire.ConsumeBytes(file[len("HDTS")+1:])
	if n < 0 {
		b.Fatal(protowire.ParseError(n))
	}
	b.SetBytes(int64(len(file)))
	b.ReportAllocs()
	for b.Loop() {
		var m hadooppb.CredentialsProto
		if err := proto.Unmarshal(message, &m); err != nil {
			b.Fatal(err)
		}
	}
}
