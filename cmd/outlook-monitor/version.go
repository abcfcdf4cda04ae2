package main

import (
	"encoding/json"
	"fmt"
	"io"

	"outlook-monitor/internal/telemetry"
)

// versionCmd prints the version.
type versionCmd struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// Run prints version, revision and Go version.
func (c *versionCmd) Run(out io.Writer) error {
	build := telemetry.Build()
	if c.JSON {
		return json.NewEncoder(out).Encode(build)
	}
	_, err := fmt.Fprintf(out, "outlook-monitor %s\nrevision %s\n%s\n", build.Version, build.Revision, build.GoVersion)
	return err
}
