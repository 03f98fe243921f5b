package hadooptoken_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"runtime"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/tokenwheel/tokenwheel/hadooptoken"
	"github.com/tokenwheel/tokenwheel/internal/writable"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// allocated measures what f allocates, all told, on this goroutine or another.
// The least of some runs is free of what else went on.
func allocated(f func()) uint64 {
	least := ^uint64(0)
	for range 5 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f()
		runtime.ReadMemStats(&after)
		least = min(least, after.TotalAlloc-before.TotalAlloc)
	}
	return least
}

// allocationBound is what a decoder may allocate for an input of n bytes that
// holds that many tokens and secrets.
func allocationBound(n, entries int) uint64 { return uint64(4*n + 64<<10 + 512*entries) }

// hostileFiles are inputs that cost a careless decoder the most, each with the
// number of entries that are really there.
func hostileFiles() map[string]struct {
	file    []byte
	entries int
} {
	hdts := func(version byte, body []byte) []byte { return append([]byte{'H', 'D', 'T', 'S', version}, body...) }
	count := writable.AppendVlong(nil, hadooptoken.MaxEntries)
	smallest := bytes.Clone(count)
	distinct := bytes.Clone(count)
	secrets := append([]byte{0}, count...)
	var protoTokens, protoSecrets []byte
	for i := range hadooptoken.MaxEntries {
		alias := binary.BigEndian.AppendUint16(nil, uint16(i))
		smallest = append(smallest, 0, 0, 0, 0, 0)
		distinct = append(append(append(distinct, 2), alias...), 0, 0, 0, 0)
		secrets = append(append(append(secrets, 2), alias...), 0)
		token := []byte{0x12, 8, 0x0a, 0, 0x12, 0, 0x1a, 0, 0x22, 0}
		entry := append(append([]byte{0x0a, 2}, alias...), token...)
		protoTokens = protowire.AppendBytes(append(protoTokens, 0x0a), entry)
		protoSecrets = protowire.AppendBytes(append(protoSecrets, 0x12), entry[:4])
	}
	long := func(n int) []byte { return writable.AppendText(nil, string(make([]byte, n))) }
	texts := []byte{2}
	for i := range 2 {
		texts = append(append(texts, 1, byte(i)), 0, 0)
		texts = append(append(texts, long(1<<20-1)...), long(900<<10)...)
	}
	type hostile = struct {
		file    []byte
		entries int
	}
	return map[string]hostile{
		"2 GiB identifier":        {hdts(0, []byte{1, 1, 'a', 0x8c, 0x7f, 0xff, 0xff, 0xff}), 1},
		"10000 tokens, none here": {hdts(0, count), 0},
		"smallest tokens":         {hdts(0, append(smallest, 0)), hadooptoken.MaxEntries},
		"distinct tokens":         {hdts(0, append(distinct, 0)), hadooptoken.MaxEntries},
		"distinct secrets":        {hdts(0, secrets), hadooptoken.MaxEntries},
		"longest texts":           {hdts(0, append(texts, 0)), 2},
		"protobuf of 2 GiB":       {hdts(1, []byte{0xff, 0xff, 0xff, 0xff, 0x07}), 0},
		"protobuf tokens":         {hdts(1, protowire.AppendBytes(nil, protoTokens)), hadooptoken.MaxEntries},
		"protobuf secrets":        {hdts(1, protowire.AppendBytes(nil, protoSecrets)), hadooptoken.MaxEntries},
		"protobuf one alias a million times": {
			hdts(1, protowire.AppendBytes(nil, append([]byte{0x0a}, protowire.AppendBytes(nil, bytes.Repeat([]byte{0x0a, 1, 'a'}, 1<<20))...))), 1,
		},
		"protobuf aliases of 1 MiB": {
			hdts(1, protowire.AppendBytes(nil, append([]byte{0x0a}, protowire.AppendBytes(nil, bytes.Repeat(append([]byte{0x0a, 0x80, 0x80, 0x3c}, make([]byte, 0x0f0000)...), 3))...))), 1,
		},
		"protobuf groups in groups": {hdts(1, protowire.AppendBytes(nil, bytes.Repeat([]byte{0x1b}, 1<<20))), 0},
	}
}

// Shows: W10, T-10, as decision 36 bounds it.
func TestW10_AllocationIsBounded(t *testing.T) {
	for name, h := range hostileFiles() {
		t.Run(name, func(t *testing.T) {
			got := allocated(func() { _, _ = hadooptoken.Unmarshal(h.file, hadooptoken.Limits{}) })
			if bound := allocationBound(len(h.file), h.entries); got > bound {
				t.Errorf("%d bytes for an input of %d with %d entries, the bound is %d", got, len(h.file), h.entries, bound)
			}
		})
	}
	for name, j := range javaTokens(t) {
		t.Run("identifier of "+name, func(t *testing.T) {
			got := allocated(func() { _, _ = hadooptoken.ParseIdentifier(j.Kind, j.Identifier) })
			if bound := allocationBound(len(j.Identifier), 0); got > bound {
				t.Errorf("%d bytes for an input of %d, the bound is %d", got, len(j.Identifier), bound)
			}
		})
	}
}

// TestW11_ErrorsHoldNoPassword looks for a canary in every error that a cut or
// changed file gives.
func TestW11_ErrorsHoldNoPassword(t *testing.T) {
	const canary = "canary-in-the-coal-mine"
	c := plugins.Credentials{
		Tokens:  map[string]plugins.Token{"a": {Kind: "k", Service: "s", Password: plugins.Secret(canary)}},
		Secrets: map[string]plugins.Secret{"b": plugins.Secret(canary)},
	}
	look := func(err error, what string) {
		if err != nil && bytes.Contains(fmt.Appendf(nil, "%v %+v %#v", err, err, err), []byte("canary")) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for format, word := range fileNames {
		file, err := hadooptoken.Marshal(c, format)
		if err != nil {
			t.Fatal(err)
		}
		for i := range file {
			_, err := hadooptoken.Unmarshal(file[:i], hadooptoken.Limits{})
			look(err, fmt.Sprintf("%s cut at %d", word, i))
			changed := bytes.Clone(file)
			changed[i] ^= 0xff
			_, err = hadooptoken.Unmarshal(changed, hadooptoken.Limits{})
			look(err, fmt.Sprintf("%s changed at %d", word, i))
		}
	}
	token, err := hadooptoken.EncodeURL(c.Tokens["a"])
	if err != nil {
		t.Fatal(err)
	}
	for i := range token {
		_, err := hadooptoken.DecodeURL(token[:i] + "*" + token[i:])
		look(err, fmt.Sprintf("URL string broken at %d", i))
	}
}
