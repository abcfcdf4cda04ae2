package main

import (
	"io"

	"github.com/alecthomas/kong"
	kongcompletion "github.com/jotaen/kong-completion"
	"github.com/posener/complete"
)

// completionCmd prints what a shell needs to complete our command lines.
type completionCmd struct {
	Shell string `arg:"" name:"shell" enum:"bash,zsh,fish" help:"For ~/.bashrc: source <(outlook-monitor completion bash); for ~/.zshrc: source <(outlook-monitor completion zsh); fish: outlook-monitor completion fish | source."`
}

// Run prints the script, which runs this program to ask what fits.
func (c *completionCmd) Run(ctx *kong.Context) error {
	return (&kongcompletion.Completion{Shell: c.Shell, Code: true}).Run(ctx)
}

// completes answers a shell that asks what may come next, and reports whether one did.
func completes(parser *kong.Kong, out io.Writer) (bool, error) {
	command, err := kongcompletion.Command(parser)
	if err != nil {
		return false, err
	}
	command.Flags = command.Sub["serve"].GlobalFlags // a bare outlook-monitor serves
	asked := complete.New(parser.Model.Name, command)
	asked.Out = out
	return asked.Complete(), nil
}
