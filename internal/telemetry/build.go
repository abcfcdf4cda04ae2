package telemetry

import (
	"cmp"
	"runtime"
	"runtime/debug"
)

// BuildInfo identifies the binary.
type BuildInfo struct {
	Version   string `json:"version"`  // of the module, such as v1.2.0, or "unknown"
	Revision  string `json:"revision"` // of the source, with "-modified" if it was changed, or "unknown"
	GoVersion string `json:"goVersion"`
}

const unknown = "unknown"

// Build returns the build information of this binary.
func Build() BuildInfo {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	return BuildOf(info)
}

// BuildOf converts the build information of any binary.
func BuildOf(info *debug.BuildInfo) BuildInfo {
	settings := map[string]string{}
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	b := BuildInfo{
		Version:   cmp.Or(info.Main.Version, unknown),
		Revision:  cmp.Or(settings["vcs.revision"], unknown),
		GoVersion: cmp.Or(info.GoVersion, runtime.Version()),
	}
	if b.Version == "(devel)" {
		b.Version = unknown
	}
	if settings["vcs.modified"] == "true" && b.Revision != unknown {
		b.Revision += "-modified"
	}
	return b
}
