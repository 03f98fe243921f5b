package main

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// longFlags rewrites long flags with one dash, as Java's tools take them
// (-alias NAME), to two. What is no flag of any command stays as it is.
func longFlags(root *cobra.Command, args []string) []string {
	known := map[string]bool{"help": true, "version": true}
	collectFlags(root, known)
	out := make([]string, len(args))
	for i, arg := range args {
		if arg == "--" {
			copy(out[i:], args[i:])
			break
		}
		out[i] = arg
		name, _, _ := strings.Cut(strings.TrimPrefix(arg, "-"), "=")
		if len(name) > 1 && arg[0] == '-' && known[name] {
			out[i] = "-" + arg
		}
	}
	return out
}

func collectFlags(c *cobra.Command, known map[string]bool) {
	note := func(f *pflag.Flag) { known[f.Name] = true }
	c.Flags().VisitAll(note)
	c.PersistentFlags().VisitAll(note)
	for _, sub := range c.Commands() {
		collectFlags(sub, known)
	}
}
