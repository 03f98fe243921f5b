package fsstaging_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tokenwheel/tokenwheel/fsstaging"
)

const (
	uuid   = "90e1d3f6-99bc-4ec2-8531-ebf8f809b321"
	digits = "90e1d3f6-99bc-4ec2-8531-123456789012" // a UUID whose last group is a number
	prefix = "credentials-" + uuid
)

// TestS12_NamesOfAllForms reads each form and writes it back byte for byte.
// Shows: S13, S25, S38, S50.
func TestS12_NamesOfAllForms(t *testing.T) {
	update := time.UnixMilli(1547643753335)
	tests := []struct {
		name, prefix, file string
		want               fsstaging.Name
	}{
		{
			"S50 Spark 2.2's own", "", prefix + "-1547643753335-1",
			fsstaging.Name{Prefix: prefix, Form: fsstaging.FormTimed, NextUpdate: update, N: 1},
		},
		{
			"S12 older Spark's", "", prefix + "-100001",
			fsstaging.Name{Prefix: prefix, Form: fsstaging.FormPlain, N: 100001},
		},
		{
			"ours", "", prefix + "-e3.l512.c00ff1234-1547643753335-2147483647",
			fsstaging.Name{Prefix: prefix, Epoch: 3, Length: 512, CRC: 0x00ff1234, NextUpdate: update, N: 1<<31 - 1},
		},
		{
			"ours, next update not known", "", prefix + "-e4294967295.l1.cffffffff-1-7",
			fsstaging.Name{Prefix: prefix, Epoch: 1<<32 - 1, Length: 1, CRC: 0xffffffff, N: 7},
		},
		{
			"S26 a UUID that ends in digits", "", "credentials-" + digits + "-12",
			fsstaging.Name{Prefix: "credentials-" + digits, Form: fsstaging.FormPlain, N: 12},
		},
		{
			"S38 a named prefix", "secure-store", "secure-store-4",
			fsstaging.Name{Prefix: "secure-store", Form: fsstaging.FormPlain, N: 4},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := fsstaging.ParseName(tt.prefix, tt.file)
			if !ok {
				t.Fatalf("ParseName(%q) refuses it", tt.file)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("ParseName (-want +got):\n%s", diff)
			}
			if got.String() != tt.file {
				t.Errorf("String: got %q, want %q", got, tt.file)
			}
		})
	}
}

// foreign are names that look like credentials files and are none.
var foreign = []string{
	"", ".", "..", prefix, prefix + "-", prefix + "-x", prefix + "--1", prefix + "-1-", prefix + "-+1", prefix + "-01",
	prefix + "-0", prefix + "-2147483648", prefix + "-99999999999999999999", prefix + "-1.tmp", prefix + "-1 ", prefix + "-1\n",
	prefix + "-00-1", prefix + "-9223372036854775808-1", prefix + "-1-2-3", prefix + "-e1.l1.c00000000-1", prefix + "-1-١",
	prefix + "-e0.l1.c00000000-1-1", prefix + "-e01.l1.c00000000-1-1", prefix + "-e1.l0.c00000000-1-1",
	prefix + "-e1.l1.c0000000-1-1", prefix + "-e1.l1.cABCDEF00-1-1", prefix + "-e4294967296.l1.c00000000-1-1",
	prefix + "-e1.l99999999999999999999.c00000000-1-1", prefix + "-e1.l1.c00000000-0-1", prefix + "-e1.l1.c00000000-1-0",
	"." + prefix + "-1", "." + prefix + "-1.sig", "." + prefix + "-1.claim", strings.ToUpper(prefix) + "-1",
	"credentials-" + strings.ToUpper(uuid) + "-1", "credentials-" + uuid[1:] + "-1", "credentials-1", "x" + prefix + "-1",
	prefix + "\xff-1", "credentials-" + digits, "_SUCCESS", strings.Repeat("a", 255),
}

// TestS26_ForeignNames shows that nothing but the grammar is taken, in any form.
func TestS26_ForeignNames(t *testing.T) {
	for _, name := range foreign {
		if n, ok := fsstaging.ParseName("", name); ok {
			t.Errorf("ParseName(%q) takes it as %+v", name, n)
		}
		if n, ok := fsstaging.ParseName(prefix, name); ok {
			t.Errorf("ParseName(%q) with its prefix takes it as %+v", name, n)
		}
	}
}

func FuzzParseName(f *testing.F) {
	for _, name := range foreign {
		f.Add("", name)
	}
	f.Add("", prefix+"-e3.l512.c00ff1234-1547643753335-2147483647")
	f.Add("p", "p-1547643753335-1")
	f.Add("credentials", prefix+"-1")
	f.Fuzz(func(t *testing.T, prefix, name string) {
		n, ok := fsstaging.ParseName(prefix, name)
		if !ok {
			return
		}
		if n.String() != name {
			t.Errorf("ParseName(%q, %q).String() = %q", prefix, name, n)
		}
		if n.N < 1 || n.N > 1<<31-1 || prefix != "" && n.Prefix != prefix || n.Prefix == "" {
			t.Errorf("ParseName(%q, %q) = %+v", prefix, name, n)
		}
	})
}
