package telemetry

import (
	"cmp"
	"crypto/x509"
	"errors"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
)

const (
	tracesExporter = "OTEL_TRACES_EXPORTER"
	endpoint       = "OTEL_EXPORTER_OTLP_ENDPOINT"
	protocol       = "OTEL_EXPORTER_OTLP_PROTOCOL"
)

// variable returns one of OpenTelemetry's variables and its value. A variant for traces wins.
func variable(general string) (name, value string) {
	name = strings.Replace(general, "_OTLP_", "_OTLP_TRACES_", 1)
	if value = strings.TrimSpace(os.Getenv(name)); value != "" {
		return name, value
	}
	return general, strings.TrimSpace(os.Getenv(general))
}

func valueOf(general string) string {
	_, value := variable(general)
	return value
}

// exports reports whether the variables ask for the export of spans.
func exports() bool {
	off := strings.EqualFold(valueOf("OTEL_SDK_DISABLED"), "true") || valueOf(tracesExporter) == "none"
	return !off && valueOf(endpoint) != ""
}

const trueOrFalse = `(?i:true|false)`

// checks are those of variables without which nothing is exported, whose values may be secret, or
// whose wrong values OpenTelemetry ignores without a word.
// The text says what is wrong and what to do.
var checks = []struct {
	variable string
	valid    func(value string) bool
	text     string
}{
	{tracesExporter, matches(`otlp`), "is unknown: use otlp or none"},
	{protocol, matches(`http/protobuf|grpc`), "is unknown: use http/protobuf or grpc"},
	{endpoint, validEndpoint, "is not the URL of a collector: use one such as http://collector:4318, " +
		"and OTEL_EXPORTER_OTLP_HEADERS for a password"},
	{"OTEL_EXPORTER_OTLP_HEADERS", validHeaders,
		"is not a list of headers: use name=value, separated by commas, with values percent-encoded"},
	{"OTEL_EXPORTER_OTLP_TIMEOUT", matches(`[0-9]{1,9}`), "is not a time: use milliseconds, such as 10000"},
	{"OTEL_EXPORTER_OTLP_CERTIFICATE", validAuthorities,
		"names no file with a certificate: use a PEM file that can be read"},
	{"OTEL_EXPORTER_OTLP_COMPRESSION", matches(`gzip|none`), "is unknown: use gzip or none"},
	{"OTEL_EXPORTER_OTLP_INSECURE", matches(trueOrFalse), "is neither true nor false"},
	{"OTEL_SDK_DISABLED", matches(trueOrFalse), "is neither true nor false"},
	{"OTEL_RESOURCE_ATTRIBUTES", matches(`[^,=]*=[^,]*(,[^,=]*=[^,]*)*`),
		"is not a list of attributes: use name=value, separated by commas"},
}

func matches(pattern string) func(value string) bool {
	return regexp.MustCompile(`^(?:` + pattern + `)$`).MatchString
}

// CheckVariables returns the mistakes in OpenTelemetry's variables, one per line, each beginning
// with the variable and without its value, which may be secret. OpenTelemetry would print the value
// and go on without it.
func CheckVariables() error {
	if !exports() {
		return nil
	}
	var mistakes []error
	for _, check := range checks {
		name, value := variable(check.variable)
		if value != "" && !check.valid(value) {
			mistakes = append(mistakes, errors.New(name+" "+check.text))
		}
	}
	return errors.Join(mistakes...)
}

// validEndpoint accepts what OpenTelemetry does not ignore. With gRPC it may also be a target
// that is no URL, such as collector:4317.
func validEndpoint(text string) bool {
	u, err := url.Parse(text)
	switch {
	case err != nil || strings.Contains(text, "@"):
		return false
	case u.Scheme != "http" && u.Scheme != "https":
		return valueOf(protocol) == "grpc"
	}
	port, err := strconv.ParseUint(cmp.Or(u.Port(), "1"), 10, 16)
	return err == nil && port > 0 && u.Hostname() != "" && u.RawQuery == "" && u.Fragment == ""
}

func validHeaders(text string) bool {
	for header := range strings.SplitSeq(strings.TrimRight(text, ", "), ",") {
		name, escaped, found := strings.Cut(header, "=")
		value, err := url.PathUnescape(escaped)
		valid := httpguts.ValidHeaderFieldName(strings.TrimSpace(name)) && httpguts.ValidHeaderFieldValue(value)
		if !found || err != nil || !valid {
			return false
		}
	}
	return true
}

func validAuthorities(file string) bool {
	text, err := os.ReadFile(file)
	return err == nil && x509.NewCertPool().AppendCertsFromPEM(text)
}
