package config

import (
	"fmt"
	"strings"

	"github.com/alecthomas/kong"
)

// Switch is a setting that is on or off, as it was written. As a flag it may
// stand alone, which means on.
type Switch string

// Decode takes what kong read.
func (s *Switch) Decode(ctx *kong.DecodeContext) error {
	*s = "true"
	if ctx.Scan.Peek().Type == kong.FlagValueToken {
		*s = Switch(fmt.Sprint(ctx.Scan.Pop().Value))
	}
	return nil
}

// IsBool tells kong that the flag needs no value.
func (Switch) IsBool() bool { return true }

var switches = map[string]bool{
	"true": true, "1": true, "yes": true, "on": true,
	"false": false, "0": false, "no": false, "off": false,
}

// parse returns what s means.
func (s Switch) parse() (on, ok bool) {
	on, ok = switches[strings.ToLower(string(s))]
	return on, ok
}
