package telemetry

import (
	"cmp"
	"runtime"
	"runtime/debug"
)

// BuildInfo says which program this is.
type BuildInfo struct {
	Version   string `json:"version"`  // of the module, such as v1.2.0; "unknown" without a stamp
	Revision  string `json:"revision"` // of the source; "unknown" without a stamp, "-modified" if it was changed
	GoVersion string `json:"goVersion"`
}

const unknown = "unknown"

// Build returns what the Go toolchain stamped into this binary.
func Build() BuildInfo {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return BuildInfo{Version: unknown, Revision: unknown, GoVersion: runtime.Version()}
	}
	return BuildOf(info)
}

// BuildOf reads the stamps of any binary's build info.
func BuildOf(info *debug.BuildInfo) BuildInfo {
	stamps := map[string]string{}
	for _, s := range info.Settings {
		stamps[s.Key] = s.Value
	}
	b := BuildInfo{
		Version:   cmp.Or(info.Main.Version, unknown),
		Revision:  cmp.Or(stamps["vcs.revision"], unknown),
		GoVersion: cmp.Or(info.GoVersion, runtime.Version()),
	}
	if b.Version == "(devel)" {
		b.Version = unknown
	}
	if stamps["vcs.modified"] == "true" && b.Revision != unknown {
		b.Revision += "-modified"
	}
	return b
}
