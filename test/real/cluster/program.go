package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Program is a Java program of several classes with a pom of its own, for what is too large for one source file and
// needs more jars than the tier.
type Program struct {
	tools   tools
	classes string // what the compiler wrote, in front of the jars
}

// Compile compiles all Java sources below the folder sources, against the jars that the pom beside them names, into the
// folder classes. Files below META-INF are copied along.
func Compile(ctx context.Context, pom, sources, classes string) (*Program, error) {
	t, err := install(ctx, pom)
	if err != nil {
		return nil, err
	}
	var files []string
	err = filepath.WalkDir(sources, func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".java") {
			files = append(files, path)
		}
		return err
	})
	if err == nil && len(files) == 0 {
		err = errors.New("no sources")
	}
	if err != nil {
		return nil, fmt.Errorf("compile %s: %w", sources, err)
	}
	args := append([]string{"-nowarn", "-d", classes, "-cp", filepath.Join(t.jars, "*")}, files...)
	if _, err := run(ctx, exec.Command(lookup("javac"), args...)); err != nil {
		return nil, fmt.Errorf("compile %s: %w", sources, err)
	}
	if err := os.CopyFS(filepath.Join(classes, "META-INF"), os.DirFS(filepath.Join(sources, "META-INF"))); err != nil {
		return nil, fmt.Errorf("compile %s: %w", sources, err)
	}
	// Without this file log4j complains; with lines of INFO it would be they that are measured.
	const quiet = "log4j.rootLogger=ERROR,console\nlog4j.appender.console=org.apache.log4j.ConsoleAppender\n" +
		"log4j.appender.console.target=System.err\nlog4j.appender.console.layout=org.apache.log4j.SimpleLayout\n"
	if err := os.WriteFile(filepath.Join(classes, "log4j.properties"), []byte(quiet), 0o600); err != nil {
		return nil, fmt.Errorf("compile %s: %w", sources, err)
	}
	return &Program{tools: t, classes: classes}, nil
}

// Run runs a class with the JVM's own flags for speed and up to 2 GiB of heap, and returns what it printed. Where c is
// not nil the program sees that Cluster's configuration.
func (p *Program) Run(ctx context.Context, c *Cluster, main string, args ...string) (string, error) {
	// The configuration comes after the classes, whose log4j.properties is the quiet one.
	classPath := []string{p.classes, filepath.Join(p.tools.jars, "*")}
	if c == nil {
		c = &Cluster{Dir: p.classes, tools: p.tools}
	} else {
		classPath = slices.Insert(classPath, 1, c.ConfDir)
	}
	return run(ctx, c.jvm(Identity{}, []string{"-Xmx2g"}, strings.Join(classPath, ":"), main, args...))
}
