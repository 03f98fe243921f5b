package hadooptoken_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tokenwheel/tokenwheel/hadooptoken"
	"github.com/tokenwheel/tokenwheel/internal/writable"
)

// abstractKinds share the form that MarshalIdentifier writes.
var abstractKinds = []string{
	hadooptoken.KindHDFS, hadooptoken.KindWebHDFS, hadooptoken.KindSWebHDFS,
	hadooptoken.KindKMS, hadooptoken.KindHistory, hadooptoken.KindHive,
}

// wantIdentifier builds what a decoder must give from the fields Java printed.
func wantIdentifier(t testing.TB, j javaToken) hadooptoken.Identifier {
	t.Helper()
	text := func(name string) string {
		s, _ := j.fields[name].(string)
		return s
	}
	number := func(name string) int64 {
		n, ok := j.fields[name].(json.Number)
		if !ok {
			return 0
		}
		v, err := n.Int64()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	id := hadooptoken.Identifier{
		Kind:        j.Kind,
		Owner:       text("owner") + text("username"),
		RealUser:    text("realUser"),
		Renewer:     text("renewer"),
		Sequence:    number("sequenceNumber"),
		MasterKeyID: int32(number("masterKeyId") + number("keyId")),
		TokenID:     text("tokenId"),
		Attempt:     text("appAttemptId"),
		CertSerial:  text("omCertSerialId"),
		OMService:   text("omServiceId"),
	}
	if _, ok := j.fields["issueDate"]; ok {
		id.Issued = time.UnixMilli(number("issueDate")).UTC()
		id.Max = time.UnixMilli(number("maxDate") + number("expirationDate")).UTC()
	}
	return id
}

// Shows: W5, W6, W8.
func TestW6_IdentifiersOfJava(t *testing.T) {
	for name, j := range javaTokens(t) {
		t.Run(name, func(t *testing.T) {
			got, err := hadooptoken.ParseIdentifier(j.Kind, golden(t, "id/id-"+name+".bin"))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(wantIdentifier(t, j), got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Shows: W5, C-H01.
func TestW5_WritesIdentifiersOfJava(t *testing.T) {
	written := 0
	for name, j := range javaTokens(t) {
		got, err := hadooptoken.MarshalIdentifier(wantIdentifier(t, j))
		if !strings.Contains(strings.Join(abstractKinds, "\n"), j.Kind) {
			if err == nil {
				t.Errorf("%s: written as %x, though its form is another", name, got)
			}
			continue
		}
		written++
		if err != nil || !bytes.Equal(got, j.Identifier) {
			t.Errorf("%s: got %x, error %v, want %x", name, got, err, j.Identifier)
		}
	}
	if written != 7 {
		t.Errorf("%d identifiers written, want 7", written)
	}
}

func TestMarshalIdentifierRefusesWhatDoesNotFit(t *testing.T) {
	for name, id := range map[string]hadooptoken.Identifier{
		"sequence": {Kind: hadooptoken.KindHDFS, Sequence: math.MaxInt32 + 1},
		"owner":    {Kind: hadooptoken.KindHDFS, Owner: strings.Repeat("x", writable.MaxText)},
	} {
		if b, err := hadooptoken.MarshalIdentifier(id); err == nil {
			t.Errorf("%s: written in %d bytes", name, len(b))
		}
	}
}

// Texts of no byte and of many pass; what Hadoop's own reader would refuse is
// refused by writer and reader.
func TestCH13_TextsOfEachLength(t *testing.T) {
	for _, n := range []int{0, 1, 127, 128, writable.MaxText - 1} {
		want := hadooptoken.Identifier{
			Kind: hadooptoken.KindHDFS, Owner: strings.Repeat("o", n), Issued: time.UnixMilli(1).UTC(), Max: time.UnixMilli(2).UTC(),
		}
		b, err := hadooptoken.MarshalIdentifier(want)
		if err != nil {
			t.Fatalf("%d bytes: %v", n, err)
		}
		if got, err := hadooptoken.ParseIdentifier(want.Kind, b); err != nil || got != want {
			t.Errorf("%d bytes: read back with %d, error %v", n, len(got.Owner), err)
		}
	}
	long := strings.Repeat("o", writable.MaxText)
	if _, err := hadooptoken.MarshalIdentifier(hadooptoken.Identifier{Kind: hadooptoken.KindHDFS, Owner: long}); err == nil {
		t.Errorf("an owner of %d bytes is written", len(long))
	}
	forged := append([]byte{0}, writable.AppendText(nil, long)...)
	if _, err := hadooptoken.ParseIdentifier(hadooptoken.KindHDFS, forged); err == nil || !strings.Contains(err.Error(), "the limit is 1048575") {
		t.Errorf("an owner of %d bytes is read: error %v", len(long), err)
	}
}

func TestIdentifierRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := hadooptoken.Identifier{
			Kind:  rapid.SampledFrom(abstractKinds).Draw(t, "kind"),
			Owner: rapid.String().Draw(t, "owner"), RealUser: rapid.String().Draw(t, "real user"), Renewer: rapid.String().Draw(t, "renewer"),
			Issued:   time.UnixMilli(rapid.Int64().Draw(t, "issued")).UTC(),
			Max:      time.UnixMilli(rapid.Int64().Draw(t, "max")).UTC(),
			Sequence: int64(rapid.Int32().Draw(t, "sequence")), MasterKeyID: rapid.Int32().Draw(t, "key"),
		}
		b, err := hadooptoken.MarshalIdentifier(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := hadooptoken.ParseIdentifier(want.Kind, append(b, "tail"...))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

// TestW10_IdentifiersCutAtEachByte: those forms that know their own end refuse
// every cut. A bare protobuf that is cut between two fields is a shorter, valid
// one; there the token's own length says how much there must be.
func TestW10_IdentifiersCutAtEachByte(t *testing.T) {
	for name, j := range javaTokens(t) {
		bare := j.Kind == hadooptoken.KindRM || j.Kind == hadooptoken.KindTimeline || j.Kind == hadooptoken.KindAMRM ||
			j.Kind == hadooptoken.KindOzone || j.Kind == hadooptoken.KindKafka
		for n := range j.Identifier {
			if _, err := hadooptoken.ParseIdentifier(j.Kind, j.Identifier[:n]); err == nil && !bare {
				t.Errorf("%s cut at %d: no error", name, n)
			}
		}
	}
}

func TestRefusesBadIdentifiers(t *testing.T) {
	for _, c := range []struct{ name, kind, hex, want string }{
		{"version 1", hadooptoken.KindHDFS, "01", `read identifier of kind "HDFS_DELEGATION_TOKEN": version 1, want 0`},
		{"HBase of another kind", hadooptoken.KindHBase, "000000020801", `read identifier of kind "HBASE_AUTH_TOKEN": kind is 1, want 0`},
		{"HBase without a user", hadooptoken.KindHBase, "0000000408001801", `read identifier of kind "HBASE_AUTH_TOKEN": username is missing`},
		{"HBase of negative length", hadooptoken.KindHBase, "ffffffff", `read identifier of kind "HBASE_AUTH_TOKEN": read bytes at byte 4: negative length -1`},
		{"secret of Ozone's S3 gateway", hadooptoken.KindOzone, "0802", `read identifier of kind "OzoneToken": type is 2, want 1`},
		{"Ozone without a type", hadooptoken.KindOzone, "", `read identifier of kind "OzoneToken": type is missing`},
		{"AM-RM without an attempt", hadooptoken.KindAMRM, "1010", `read identifier of kind "YARN_AM_RM_TOKEN": application attempt is missing`},
		{"owner of another wire type", hadooptoken.KindRM, "0801", `read identifier of kind "RM_DELEGATION_TOKEN": field 1 has wire type 0`},
		{"date of another wire type", hadooptoken.KindRM, "220161", `read identifier of kind "RM_DELEGATION_TOKEN": field 4 has wire type 2`},
		{"Kafka without an id", hadooptoken.KindKafka, "", `read identifier of kind "KAFKA_DELEGATION_TOKEN": token id is missing`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := hadooptoken.ParseIdentifier(c.kind, unhex(t, c.hex)); text(err) != c.want {
				t.Errorf("got error %v, want %s", err, c.want)
			}
		})
	}
}

func TestW6_UnknownKindsAreOpaque(t *testing.T) {
	for _, kind := range []string{"", "mapreduce.job", "NMToken", "HDFS_BLOCK_TOKEN", "S3ADelegationToken/Session", "hdfs_delegation_token"} {
		_, err := hadooptoken.ParseIdentifier(kind, []byte("anything"))
		opaque, ok := errors.AsType[*hadooptoken.UnknownKindError](err)
		if !ok || opaque.Kind != kind {
			t.Errorf("%s: error %v", kind, err)
		}
	}
}

// Shows: W5, C-H22.
func TestW5_PrintedForm(t *testing.T) {
	tokens := javaTokens(t)
	for name, want := range map[string]string{
		"hdfs":           "token for alice: HDFS_DELEGATION_TOKEN owner=alice@LAB.TEST, renewer=yarn, realUser=, issueDate=1700000000123, maxDate=1700604800123, sequenceNumber=1, masterKeyId=2",
		"hdfs-proxy":     "token for bob: HDFS_DELEGATION_TOKEN owner=bob, renewer=renewer, realUser=spark/edge1.lab.test@LAB.TEST, issueDate=1700000000123, maxDate=1700604800123, sequenceNumber=70000, masterKeyId=300",
		"hdfs-extremes":  "token for zoë-用户: HDFS_DELEGATION_TOKEN owner=zoë-用户, renewer=, realUser=zoë-用户, issueDate=-113, maxDate=9223372036854775807, sequenceNumber=-2147483648, masterKeyId=-112",
		"ozone":          "token for alice: OzoneToken owner=alice, renewer=yarn, realUser=spark, issueDate=1700000000123, maxDate=1700604800123, sequenceNumber=14, masterKeyId=15, omCertSerialId=8081, omServiceId=om1",
		"amrm":           "YARN_AM_RM_TOKEN appAttemptId=appattempt_1700000000123_0042_000001, keyId=16",
		"kafka-as-spark": "KAFKA_DELEGATION_TOKEN tokenId=dEVzdFRva2VuSWRBQkNERQ",
	} {
		id, err := hadooptoken.ParseIdentifier(tokens[name].Kind, tokens[name].Identifier)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, fmt.Sprint(id)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	forged := hadooptoken.Identifier{Kind: hadooptoken.KindHDFS, Owner: "a\nlevel=error"}
	if s := forged.String(); strings.Contains(s, "\n") {
		t.Errorf("an owner breaks the line: %q", s)
	}
}
