package main

import (
	"encoding/base64"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/tokenwheel/tokenwheel/hadooptoken"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// fileView is what is shown of a token file.
type fileView struct {
	File    string       `json:"file"`
	Tokens  []tokenView  `json:"tokens"`
	Secrets []secretView `json:"secrets"`
}

type tokenView struct {
	Alias       string    `json:"alias"`
	Kind        string    `json:"kind"`
	Service     string    `json:"service"`
	Fingerprint string    `json:"fingerprint"`
	Owner       string    `json:"owner,omitempty"`
	RealUser    string    `json:"realUser,omitempty"`
	Renewer     string    `json:"renewer,omitempty"`
	Issued      time.Time `json:"issued,omitzero"`
	Max         time.Time `json:"max,omitzero"`
	Sequence    int64     `json:"sequence,omitempty"`
	Unreadable  string    `json:"unreadable,omitempty"` // why the identifier says nothing
	URL         string    `json:"url,omitempty"`        // the whole token; with --show-secrets only
}

type secretView struct {
	Alias string `json:"alias"`
	Value string `json:"value,omitempty"` // base64; with --show-secrets only
}

func newCredsPrint() *cobra.Command {
	var alias string
	var secrets bool
	c := &cobra.Command{
		Use:   "print [FILE...]",
		Short: "Show what is in token files",
		Long: `Show what is in token files: of each token its alias, kind, service, and what
its identifier says. Without FILE it is $HADOOP_TOKEN_FILE_LOCATION.

Passwords and secret keys are shown with --show-secrets only: a token as the
string that Java's Token.decodeFromUrlString reads, a key in base64.`,
	}
	output := outputFlag(c)
	c.Flags().StringVar(&alias, "alias", "", "show this token only")
	c.Flags().BoolVar(&secrets, "show-secrets", false, "show passwords and secret keys too")
	c.RunE = func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			path, err := tokenFile(args)
			if err != nil {
				return err
			}
			args = []string{path}
		}
		views := make([]fileView, len(args))
		for i, path := range args {
			creds, err := readTokenFile(path)
			if err != nil {
				return err
			}
			aliases, err := selected(creds, alias, path)
			if err != nil {
				return err
			}
			if views[i], err = viewFile(path, creds, aliases, secrets); err != nil {
				return err
			}
			if alias != "" {
				views[i].Secrets = []secretView{}
			}
		}
		return output.write(c.OutOrStdout(), views, func(t *table) { showFiles(t, views) })
	}
	return c
}

func viewFile(path string, creds plugins.Credentials, aliases []string, secrets bool) (fileView, error) {
	v := fileView{File: path, Tokens: []tokenView{}, Secrets: []secretView{}}
	for _, alias := range aliases {
		tv, err := viewToken(alias, creds.Tokens[alias], secrets)
		if err != nil {
			return v, err
		}
		v.Tokens = append(v.Tokens, tv)
	}
	for _, alias := range slices.Sorted(maps.Keys(creds.Secrets)) {
		sv := secretView{Alias: alias}
		if secrets {
			sv.Value = base64.StdEncoding.EncodeToString(creds.Secrets[alias])
		}
		v.Secrets = append(v.Secrets, sv)
	}
	return v, nil
}

func viewToken(alias string, t plugins.Token, secrets bool) (v tokenView, err error) {
	v = tokenView{Alias: alias, Kind: t.Kind, Service: t.Service, Fingerprint: t.Fingerprint()}
	if id, err := hadooptoken.ParseIdentifier(t.Kind, t.Identifier); err != nil {
		v.Unreadable = err.Error()
	} else {
		v.Owner, v.RealUser, v.Renewer = id.Owner, id.RealUser, id.Renewer
		v.Issued, v.Max, v.Sequence = id.Issued, id.Max, id.Sequence
	}
	if secrets {
		v.URL, err = hadooptoken.EncodeURL(t)
	}
	return v, err
}

func showFiles(t *table, views []fileView) {
	for i, v := range views {
		if i > 0 {
			t.line("")
		}
		t.line("Token file: %s", v.File)
		t.row("ALIAS", "SERVICE", "KIND", "OWNER", "RENEWER", "ISSUED", "RENEW UNTIL", "FINGERPRINT")
		for _, tv := range v.Tokens {
			t.row(tv.Alias, tv.Service, tv.Kind, tv.Owner, tv.Renewer, date(tv.Issued), date(tv.Max), tv.Fingerprint)
		}
		for _, tv := range v.Tokens {
			if tv.URL != "" {
				t.line("Token %s: %s", tv.Alias, tv.URL)
			}
		}
		for _, sv := range v.Secrets {
			t.line("Secret key: %s", sv.Alias+valueText(sv.Value))
		}
	}
}

func valueText(value string) string {
	if value == "" {
		return ""
	}
	return " = " + value
}
