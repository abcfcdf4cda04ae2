package main

import (
	_ "embed" // of the scripts
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// The scripts ask the program itself what fits, so that they never grow old.
var (
	//go:embed completion.bash
	completionBash string
	//go:embed completion.zsh
	completionZsh string
	//go:embed completion.fish
	completionFish string
)

// completionCmd prints what a shell needs to complete our command lines.
type completionCmd struct {
	Shell string `arg:"" name:"shell" enum:"bash,zsh,fish" help:"bash: source <(outlook-monitor completion bash); zsh: write it to a file _outlook-monitor in $$fpath; fish: outlook-monitor completion fish | source."`
}

// Run prints the script.
func (c *completionCmd) Run(out io.Writer) error {
	scripts := map[string]string{"bash": completionBash, "zsh": completionZsh, "fish": completionFish}
	_, err := io.WriteString(out, scripts[c.Shell])
	return err
}

// completeCmd says what may stand instead of the last word, a line each; nothing
// means a file, or whatever one likes.
type completeCmd struct {
	Words []string `arg:"" optional:"" help:"The words after the program's name, the last one unfinished."`
}

// Run prints the candidates.
func (c *completeCmd) Run(ctx *kong.Context, out io.Writer) error {
	for _, candidate := range candidates(ctx.Model.Node, c.Words) {
		if _, err := fmt.Fprintln(out, candidate); err != nil {
			return err
		}
	}
	return nil
}

// candidates finds what the last word may become. bash gives the = of
// --flag=value as a word of its own.
func candidates(node *kong.Node, words []string) []string {
	if len(words) == 0 {
		words = []string{""}
	}
	last := words[len(words)-1]
	wanting := (*kong.Value)(nil) // a flag whose value comes next
	for _, word := range words[:len(words)-1] {
		switch {
		case word == "=":
		case wanting != nil:
			wanting = nil
		case strings.HasPrefix(word, "-"):
			wanting = valueOf(node, word)
		default:
			if child := childOf(node, word); child != nil {
				node = child
			}
		}
	}
	var found []string
	switch {
	case wanting != nil:
		found = wanting.EnumSlice()
	case strings.HasPrefix(last, "-"):
		for _, flag := range flagsOf(node) {
			found = append(found, "--"+flag.Name)
		}
	default:
		for _, child := range node.Children {
			if !child.Hidden {
				found = append(found, child.Name)
			}
		}
		if len(node.Positional) > 0 {
			found = append(found, node.Positional[0].EnumSlice()...)
		}
	}
	found = slices.DeleteFunc(found, func(text string) bool { return text == "" || !strings.HasPrefix(text, last) })
	slices.Sort(found)
	return slices.Compact(found)
}

// flagsOf lists the flags that may be written at a command: its own, those of
// the commands that it belongs to, and, where it has one, its default command's.
func flagsOf(node *kong.Node) (all []*kong.Flag) {
	for n := node; n != nil; n = n.Parent {
		all = append(all, n.Flags...)
	}
	if node.DefaultCmd != nil {
		all = append(all, node.DefaultCmd.Flags...)
	}
	return slices.DeleteFunc(all, func(f *kong.Flag) bool { return f.Hidden })
}

// valueOf returns the flag that a word is, if its value must follow; nil: none.
func valueOf(node *kong.Node, word string) *kong.Value {
	for _, flag := range flagsOf(node) {
		named := word == "--"+flag.Name || flag.Short != 0 && word == "-"+string(flag.Short)
		if named && !flag.IsBool() {
			return flag.Value
		}
	}
	return nil
}

func childOf(node *kong.Node, name string) *kong.Node {
	for _, child := range node.Children {
		if child.Name == name {
			return child
		}
	}
	return nil
}
