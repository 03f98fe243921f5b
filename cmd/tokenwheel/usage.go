package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// unknownCommand is the error of a word that a group of commands does not know.
// Cobra shows the group's help for it, and succeeds: a script would go on.
func unknownCommand(root *cobra.Command, args []string) error {
	if len(args) > 0 && args[0] == "help" {
		args = args[1:]
	}
	group, rest, err := root.Find(args)
	if err != nil || group == root || !group.HasSubCommands() {
		return nil // cobra says it, who also has commands of its own
	}
	i := slices.IndexFunc(rest, func(a string) bool { return !strings.HasPrefix(a, "-") })
	if i < 0 {
		return nil
	}
	var names []string
	for _, c := range group.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	return advise(fmt.Errorf("unknown command %q for %q", rest[i], group.CommandPath()), "it has %s", strings.Join(names, ", "))
}

// newHelp is cobra's own, but that it fails for what is no command.
func newHelp() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Help about any command",
		RunE: func(c *cobra.Command, args []string) error {
			about, _, err := c.Root().Find(args)
			if err != nil {
				return err
			}
			about.InitDefaultHelpFlag()
			return about.Help()
		},
	}
}

// nameArguments lets every command say how it is used when it gets too many or too
// few arguments.
func nameArguments(c *cobra.Command) {
	if check := c.Args; check != nil {
		c.Args = func(c *cobra.Command, args []string) error {
			if check(c, args) == nil {
				return nil
			}
			return advise(wrongArguments(c, args), "it is used as %s", c.UseLine())
		}
	}
	for _, sub := range c.Commands() {
		nameArguments(sub)
	}
}

func wrongArguments(c *cobra.Command, args []string) error {
	name := strings.TrimPrefix(c.CommandPath(), c.Root().Name()+" ")
	switch len(args) {
	case 0:
		return errors.New(name + ": an argument is missing")
	case 1:
		return fmt.Errorf("%s: it takes no argument, and got %q", name, args[0])
	}
	return fmt.Errorf("%s: too many arguments: %q", name, args)
}
