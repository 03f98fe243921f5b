package renewer_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/fsstaging"
	"github.com/tokenwheel/tokenwheel/hadooptest"
	"github.com/tokenwheel/tokenwheel/plugins"
	"github.com/tokenwheel/tokenwheel/plugins/hdfs"
	"github.com/tokenwheel/tokenwheel/renewer"
)

// A driver process keeps the tokens of its own streaming job alive and stages
// them to HDFS, for as long as the job runs.
func Example() {
	const (
		conf      = "/etc/hadoop/conf"
		principal = "stream/_HOST@EXAMPLE.COM"
		keytab    = "/etc/security/keytabs/stream.keytab"
	)
	drive := func(ctx context.Context, job func(context.Context) error) error {
		nn, err := hdfs.New(hdfs.Config{ConfDir: conf, Principal: principal, Keytab: keytab})
		if err != nil {
			return err
		}
		defer nn.Close()
		dfs, err := fsstaging.DialHDFS(ctx, fsstaging.HDFSConfig{ConfDir: conf, Principal: principal, Keytab: keytab})
		if err != nil {
			return err
		}
		defer dfs.Close()
		r, err := renewer.New(renewer.Config{Providers: map[string]plugins.Provider{"hdfs": nn}, Stager: fsstaging.NewStager(dfs)})
		if err != nil {
			return err
		}
		return r.Run(ctx, func(ctx context.Context) error { // ctx ends when the engine fails; nothing of ours outlives Run
			app := appregistry.App{ID: "stream-42", User: "alice", Obtain: []string{"hdfs"}, StageTo: []appregistry.Target{{Dir: "/user/alice/.stage/stream-42"}}}
			if err := r.Register(ctx, app); err != nil { // returns once the first credentials file is staged
				return err
			}
			return job(ctx)
		})
	}
	if err := drive(context.Background(), func(context.Context) error { return nil }); err != nil {
		log.Print(err)
	}
}

// The same on a cluster in this process, with a directory for the files, and an
// executor that picks the credentials up.
func ExampleRenewer_Register() {
	if err := register(); err != nil {
		fmt.Println(err)
	}
	// Output: generation 1 with a token of kind HDFS_DELEGATION_TOKEN
}

func register() error {
	cluster, err := hadooptest.Start(hadooptest.Config{Principals: []string{"stream"}, ProxyUsers: map[string][]string{"stream": {"alice"}}})
	if err != nil {
		return err
	}
	defer cluster.Close()
	keytab, err := cluster.Keytab("stream")
	if err != nil {
		return err
	}
	nn, err := hdfs.New(hdfs.Config{ConfDir: cluster.ConfDir, Krb5Conf: cluster.Krb5Conf, Principal: "stream@HADOOP.TEST", Keytab: keytab})
	if err != nil {
		return err
	}
	defer nn.Close()
	dir, err := os.MkdirTemp("", "stage-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	local := fsstaging.Local{OneUser: true}
	r, err := renewer.New(renewer.Config{Providers: map[string]plugins.Provider{"hdfs": nn}, Stager: fsstaging.NewStager(local)})
	if err != nil {
		return err
	}
	return r.Run(context.Background(), func(ctx context.Context) error {
		app := appregistry.App{ID: "stream-42", User: "alice", Obtain: []string{"hdfs"}, StageTo: []appregistry.Target{{Dir: dir}}}
		if err := r.Register(ctx, app); err != nil {
			return err
		}
		executor := fsstaging.NewPickup(local, dir)
		creds, err := executor.Next(ctx) // blocks until a file with a higher suffix than the last one is there
		for _, token := range creds.Tokens {
			fmt.Printf("generation %d with a token of kind %s\n", executor.Held().N, token.Kind)
		}
		return err
	})
}
