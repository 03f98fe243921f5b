package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tokenwheel/tokenwheel/appregistry/boltstore"
	"github.com/tokenwheel/tokenwheel/appregistry/sealedstore"
	"github.com/tokenwheel/tokenwheel/hadooptest"
	"github.com/tokenwheel/tokenwheel/internal/control"
)

// fixture copies the store file of a schema to a place of its own.
func fixture(t *testing.T, name string) (path string) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("../../testdata/store", name))
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(shortDir(t), "apps.db")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestStoreCheck_SaysWhatIsThere(t *testing.T) {
	path := fixture(t, "v1.db")
	r := fromJSON[storeReport](t, ok(t, "store", "check", "--store", path, "-o", "json"))
	want := map[string]int{"app": 1, "entry": 1, "token": 1, "seq": 1, "pause": 1, "header": 1}
	if d := cmp.Diff(want, r.Records); d != "" || r.Schema != 1 || r.Size == 0 || len(r.Problems)+len(r.Warnings) > 0 {
		t.Errorf("records (-want +got):\n%s\n%+v", d, r)
	}
	config := write(t, filepath.Join(filepath.Dir(path), "tokenwheel.yaml"), "store: bolt://"+path+"\n")
	if out := ok(t, "store", "check", "--config", config); !strings.Contains(out, path) || !strings.Contains(out, "Records token:") {
		t.Errorf("by the configuration it says\n%s", out)
	}
	fails(t, exitLocal, []string{"no such file", path + ".not"}, "store", "check", "--store", path+".not")
	mistyped := write(t, filepath.Join(filepath.Dir(path), "mistyped.yaml"), "stor: bolt://"+path+"\n")
	fails(t, exitLocal, []string{"stor"}, "store", "check", "--config", mistyped)
}

// TestB63_StoreCheckOfADamagedFile: it says what is lost and which backup there is,
// and changes nothing. Records that this release cannot read are found too.
func TestB63_StoreCheckOfADamagedFile(t *testing.T) {
	path := fixture(t, "v1.db")
	sound, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	damaged := bytes.Replace(sound, []byte("HDFS_DELEGATION_TOKEN"), []byte("HDFS_DELEGATION_TOKEM"), 2)
	if bytes.Equal(damaged, sound) {
		t.Fatal("nothing was damaged")
	}
	write(t, path, string(damaged))
	r := fails(t, exitFound, []string{"2 records lost", "app/", "no backup"}, "store", "check", "--store", path)
	if !strings.Contains(r.out, "Records lost:") || !strings.Contains(r.out, "token/") || !strings.Contains(r.out, "Records entry:") {
		t.Errorf("it prints\n%s", r.out)
	}
	write(t, path, string(sound))
	backup := filepath.Join(shortDir(t), "copy.db")
	ok(t, "store", "backup", "--store", path, backup)
	write(t, path, string(damaged))
	fails(t, exitFound, []string{backup}, "store", "check", "--store", path)
	fails(t, exitLocal, []string{backup, "store check"}, "store", "backup", "--store", path, backup+".2")
	fails(t, exitLocal, []string{backup, "store check"}, "store", "compact", "--store", path)
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, damaged) {
		t.Errorf("the damaged file was changed, %v", err)
	}
	ok(t, "store", "check", "--store", backup)
	fails(t, exitLocal, []string{backup, "not there yet"}, "store", "backup", "--store", backup, backup)
}

// TestStore_InUse: each command names the process that has the store.
func TestStore_InUse(t *testing.T) {
	path := fixture(t, "v1.db")
	key := filepath.Join(filepath.Dir(path), "store.key")
	ok(t, "store", "key", key)
	s, err := boltstore.Open(path, boltstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var all sync.WaitGroup // each waits for the lock for a while
	for _, command := range [][]string{
		{"check"}, {"compact"}, {"rekey", "--store-key", key}, {"backup", filepath.Join(filepath.Dir(path), "copy.db")},
	} {
		all.Go(func() {
			words := []string{"process " + strconv.Itoa(os.Getpid()), "stop that process"}
			fails(t, exitLocal, words, append(append([]string{"store"}, command...), "--store", path)...)
		})
	}
	all.Wait()
}

// TestStoreRekey_SealsWhatWasInClear: and leaves nothing of it in the file.
// Shows: T-26.
func TestStoreRekey_SealsWhatWasInClear(t *testing.T) {
	path := fixture(t, "v1.db")
	key := filepath.Join(filepath.Dir(path), "store.key")
	ok(t, "store", "key", key)
	fails(t, exitFound, []string{"not sealed", "store rekey"}, "store", "check", "--store", path, "--store-key", key)
	before := fromJSON[storeReport](t, ok(t, "store", "check", "--store", path, "-o", "json"))
	content, err := os.ReadFile(path)
	if err != nil || leaked(string(content), []byte("password of nobody")) == "" {
		t.Fatalf("the password is not in the file, %v: the test shows nothing", err)
	}
	ok(t, "store", "rekey", "--store", path, "--store-key", key)
	keys, err := sealedstore.ReadKeys(key)
	if err != nil {
		t.Fatal(err)
	}
	after := fromJSON[storeReport](t, ok(t, "store", "check", "--store", path, "--store-key", key, "-o", "json"))
	if d := cmp.Diff(before.Records, after.Records); d != "" {
		t.Errorf("records (-before +after):\n%s", d)
	}
	if d := cmp.Diff(map[string]int{keys.IDs()[0]: 6}, after.Keys); d != "" {
		t.Errorf("sealed with (-want +got):\n%s", d)
	}
	if content, err = os.ReadFile(path); err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"password of nobody", "secret of nobody"} {
		if form := leaked(string(content), []byte(secret)); form != "" {
			t.Errorf("%q still stands in the file in %s", secret, form)
		}
	}
	out := ok(t, "store", "check", "--store", path)
	if !strings.Contains(out, "warning: it is sealed") || !strings.Contains(out, keys.IDs()[0]) {
		t.Errorf("without the key it prints\n%s", out)
	}
	other := filepath.Join(filepath.Dir(path), "other.key")
	ok(t, "store", "key", other)
	fails(t, exitFound, []string{keys.IDs()[0], other}, "store", "check", "--store", path, "--store-key", other)
	fails(t, exitLocal, []string{keys.IDs()[0], "put that key back"}, "store", "rekey", "--store", path, "--store-key", other)
	fails(t, exitLocal, []string{"no such file"}, "store", "rekey", "--store", path+".not", "--store-key", key)
	if _, err := os.Stat(path + ".not"); !os.IsNotExist(err) {
		t.Errorf("a store was made: %v", err)
	}
}

// TestT24_SealedDaemon: what a daemon with a key file keeps, and the backup of it,
// shows no password; its key is changed without a stop but the restart, and the old
// one is not needed any more.
// Shows: T-26, KP21.
func TestT24_SealedDaemon(t *testing.T) {
	s := newSite(t, hadooptest.Config{})
	keyFile, staged, backup := s.file("store.key"), s.file("staged"), s.file("backup.db")
	config := s.config(t, "store-key: "+keyFile+"\nlog: {level: debug}\n")
	fails(t, exitFound, []string{"store-key", keyFile}, "config", "check", "--config", config)
	ok(t, "store", "key", keyFile)
	ok(t, "config", "check", "--connect", "--config", config)
	t.Setenv("TOKENWHEEL_ADDRESS", "unix://"+s.file("control.sock"))

	first := startDaemon(t, config)
	ok(t, "app", "register", "etl", "--obtain", "hdfs", "--stage-to", staged, "--wait")
	ok(t, "fetch", "--dir", staged, "--out", s.file("fetched"))
	_, tok := onlyToken(t, s.file("fetched"))
	first.end(t)
	ok(t, "store", "backup", "--config", config, backup)
	// The same words in clear would be found: they are in a store without a key.
	for name, path := range map[string]string{"store": s.file("apps.db"), "backup": backup} {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for what, secret := range map[string][]byte{"password": tok.Password, "identifier": tok.Identifier, "user": []byte(`"user":"` + me(t))} {
			if form := leaked(string(content), secret); form != "" {
				t.Errorf("the %s stands in the %s in %s", what, name, form)
			}
		}
	}
	ok(t, "store", "check", "--store", backup, "--store-key", keyFile)

	old := firstKey(t, keyFile)
	ok(t, "store", "key", keyFile)
	second := startDaemon(t, config)
	eventually(t, "all is sealed with the new key", second, func() bool {
		return strings.Contains(second.log.String(), "store sealed with its new key")
	})
	second.end(t)
	r := fromJSON[storeReport](t, ok(t, "store", "check", "--config", config, "-o", "json"))
	if r.Keys[old] != 0 || r.Keys[firstKey(t, keyFile)] < 4 || r.Records["app"] != 1 {
		t.Errorf("after the change of keys: %+v", r)
	}
	content, err := os.ReadFile(keyFile)
	if err != nil {
		t.Fatal(err)
	}
	var kept []string
	for line := range strings.Lines(string(content)) {
		if !strings.HasPrefix(line, old) {
			kept = append(kept, line)
		}
	}
	write(t, keyFile, strings.Join(kept, ""))
	third := startDaemon(t, config)
	if apps := fromJSON[[]control.App](t, ok(t, "app", "list", "-o", "json")); len(apps) != 1 || apps[0].ID != "etl" {
		t.Errorf("with the new key alone there are %+v", apps)
	}
	third.end(t)

	clear := s.config(t, "")
	fails(t, exitLocal, []string{"sealed", firstKey(t, keyFile), "store-key"}, "run", "--config", clear)
	if err := os.Chmod(keyFile, 0o644); err != nil {
		t.Fatal(err)
	}
	config = s.config(t, "store-key: "+keyFile+"\n")
	fails(t, exitFound, []string{"store-key", "0644"}, "config", "check", "--config", config)
	fails(t, exitLocal, []string{"store-key", "0644"}, "run", "--config", config)
	for what, text := range map[string]string{"first": first.log.String(), "second": second.log.String()} {
		for line := range strings.Lines(string(content)) {
			if _, secret, found := strings.Cut(strings.TrimSpace(line), " "); found && line[0] != '#' && strings.Contains(text, secret) {
				t.Errorf("the log of the %s daemon has a key", what)
			}
		}
	}
}

func firstKey(t *testing.T, path string) string {
	t.Helper()
	keys, err := sealedstore.ReadKeys(path)
	if err != nil {
		t.Fatal(err)
	}
	return keys.IDs()[0]
}

// TestB69_RestoredBackupIsKnownAsOne: a daemon that finds a backup in its store's
// place renews every token before it believes what the store says of it. After a
// mere restart nothing is renewed.
func TestB69_RestoredBackupIsKnownAsOne(t *testing.T) {
	s := newSite(t, hadooptest.Config{})
	config, backup := s.config(t, ""), s.file("backup.db")
	t.Setenv("TOKENWHEEL_ADDRESS", "unix://"+s.file("control.sock"))
	d := startDaemon(t, config)
	ok(t, "app", "register", "etl", "--obtain", "hdfs", "--stage-to", s.file("staged"), "--wait")
	d.end(t)
	ok(t, "store", "backup", "--config", config, backup)

	renewals := s.NameNode.Journal.Count(hadooptest.OpRenew)
	d = startDaemon(t, config)
	ok(t, "token", "list")
	d.end(t)
	if n := s.NameNode.Journal.Count(hadooptest.OpRenew); n != renewals {
		t.Errorf("%d renewals after a mere restart", n-renewals)
	}

	if err := os.Rename(backup, s.file("apps.db")); err != nil {
		t.Fatal(err)
	}
	d = startDaemon(t, config)
	eventually(t, "the token is renewed", d, func() bool { return s.NameNode.Journal.Count(hadooptest.OpRenew) > renewals })
}
