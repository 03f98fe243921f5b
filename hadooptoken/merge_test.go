package hadooptoken_test

import (
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/hadooptoken"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// issued makes an HDFS token whose password tells which one it is.
func issued(t *testing.T, service string, at, sequence int64, password string) plugins.Token {
	t.Helper()
	id, err := hadooptoken.MarshalIdentifier(hadooptoken.Identifier{
		Kind: hadooptoken.KindHDFS, Owner: "alice", Renewer: "yarn", Issued: time.UnixMilli(at), Max: time.UnixMilli(at + 1000), Sequence: sequence,
	})
	if err != nil {
		t.Fatal(err)
	}
	return plugins.Token{Kind: hadooptoken.KindHDFS, Service: service, Identifier: id, Password: plugins.Secret(password)}
}

func TestW7_MergeKeepsTheNewer(t *testing.T) {
	const alias = "ha-hdfs:lab"
	opaque := func(password string) plugins.Token {
		return plugins.Token{Kind: "mapreduce.job", Service: alias, Password: plugins.Secret(password)}
	}
	for _, c := range []struct {
		name      string
		have, add plugins.Token
		want      string
	}{
		{"later date", issued(t, alias, 1, 5, "old"), issued(t, alias, 2, 6, "new"), "new"},
		{"earlier date", issued(t, alias, 2, 6, "new"), issued(t, alias, 1, 5, "old"), "new"},
		{"later date, sequence began again", issued(t, alias, 1, 900, "old"), issued(t, alias, 2, 1, "new"), "new"},
		{"same date, higher sequence", issued(t, alias, 1, 5, "old"), issued(t, alias, 1, 6, "new"), "new"},
		{"same date, lower sequence", issued(t, alias, 1, 6, "new"), issued(t, alias, 1, 5, "old"), "new"},
		{"equal identifiers", issued(t, alias, 1, 5, "have"), issued(t, alias, 1, 5, "add"), "add"},
		{"opaque", opaque("have"), opaque("add"), "add"},
		{"another kind", issued(t, alias, 9, 9, "have"), opaque("add"), "add"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := hadooptoken.Merge(
				plugins.Credentials{Tokens: map[string]plugins.Token{alias: c.have}},
				plugins.Credentials{Tokens: map[string]plugins.Token{alias: c.add}},
			)
			if p := string(got.Tokens[alias].Password); p != c.want || len(got.Tokens) != 1 {
				t.Errorf("kept %q of %d tokens, want %q", p, len(got.Tokens), c.want)
			}
		})
	}
}

func TestW7_PrivateCopiesFollow(t *testing.T) {
	const clone1, clone2 = "ha-hdfs://192.0.2.10:8020", "ha-hdfs://192.0.2.11:8020"
	copyFor := func(token plugins.Token, service string) plugins.Token {
		token.Service = service
		return token
	}
	old, next := issued(t, "ha-hdfs:lab", 1, 1, "old"), issued(t, "ha-hdfs:lab", 2, 2, "new")
	other := issued(t, "192.0.2.11:8020", 1, 7, "other")
	have := plugins.Credentials{
		Tokens: map[string]plugins.Token{
			"ha-hdfs:lab": old,
			clone1:        copyFor(old, "192.0.2.10:8020"),
			clone2:        other,                           // of another nameservice
			"mine":        copyFor(old, "192.0.2.10:8020"), // put there by hand, not by a client
		},
		Secrets: map[string]plugins.Secret{"kept": plugins.Secret("1"), "replaced": plugins.Secret("2")},
	}
	add := plugins.Credentials{
		Tokens:  map[string]plugins.Token{"ha-hdfs:lab": next},
		Secrets: map[string]plugins.Secret{"replaced": plugins.Secret("3")},
	}
	before := have.Clone()
	got := hadooptoken.Merge(have, add)
	diffCredentials(t, plugins.Credentials{
		Tokens: map[string]plugins.Token{
			"ha-hdfs:lab": next, clone1: copyFor(next, "192.0.2.10:8020"), clone2: other, "mine": have.Tokens["mine"],
		},
		Secrets: map[string]plugins.Secret{"kept": plugins.Secret("1"), "replaced": plugins.Secret("3")},
	}, got)
	diffCredentials(t, before, have)

	clear(got.Tokens[clone1].Identifier)
	clear(got.Tokens["ha-hdfs:lab"].Password)
	diffCredentials(t, plugins.Credentials{Tokens: map[string]plugins.Token{"ha-hdfs:lab": issued(t, "ha-hdfs:lab", 2, 2, "new")}},
		plugins.Credentials{Tokens: add.Tokens})
}
