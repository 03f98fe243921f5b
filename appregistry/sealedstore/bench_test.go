package sealedstore_test

import (
	"encoding/binary"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/appregistry/boltstore"
	"github.com/tokenwheel/tokenwheel/appregistry/sealedstore"
)

// BenchmarkCommit writes a record of 600 bytes, about that of a token: one commit
// after the other under the engine's kind of fence, in clear and sealed.
func BenchmarkCommit(b *testing.B) {
	for _, below := range []string{"memory", "bolt"} {
		for _, sealed := range []bool{false, true} {
			name := below + "/clear"
			if sealed {
				name = below + "/sealed"
			}
			b.Run(name, func(b *testing.B) {
				var s appregistry.Store = appregistry.NewMemory()
				if below == "bolt" {
					file, err := boltstore.Open(filepath.Join(privateDir(b), "apps.db"), boltstore.Options{})
					if err != nil {
						b.Fatal(err)
					}
					defer file.Close()
					s = file
				}
				if sealed {
					s = mustOpen(b, s, someKeys(b))
				}
				put(b, s, "header", "1")
				value := []byte(strings.Repeat("v", 600))
				batch := appregistry.Batch{Fence: &appregistry.Fence{Key: []byte("header"), Want: []byte("1")}}
				b.ReportAllocs()
				for n := uint64(0); b.Loop(); n++ {
					batch.Put = []appregistry.Record{{Key: binary.BigEndian.AppendUint64([]byte("token/"), n%10_000), Value: value}}
					if err := s.Commit(b.Context(), batch); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkLoad reads 10,000 such records, as a start does.
func BenchmarkLoad(b *testing.B) {
	for name, keys := range map[string]*sealedstore.Keys{"clear": nil, "sealed": someKeys(b)} {
		b.Run(name, func(b *testing.B) {
			s := mustOpen(b, appregistry.NewMemory(), keys)
			var batch appregistry.Batch
			for n := range uint64(10_000) {
				batch.Put = append(batch.Put, appregistry.Record{Key: binary.BigEndian.AppendUint64([]byte("token/"), n), Value: []byte(strings.Repeat("v", 600))})
			}
			if err := s.Commit(b.Context(), batch); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if err := s.Load(b.Context(), func(_, _ []byte) error { return nil }); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
