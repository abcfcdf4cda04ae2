package telemetry

import (
	"cmp"
	"crypto/tls"
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
	tracesExporter    = "OTEL_TRACES_EXPORTER"
	endpoint          = "OTEL_EXPORTER_OTLP_ENDPOINT"
	protocol          = "OTEL_EXPORTER_OTLP_PROTOCOL"
	clientCertificate = "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE"
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

// checks are those of variables that are set. The text says what is wrong and what to do.
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
	{clientCertificate, validClientCertificate,
		"and its CLIENT_KEY are not a matching certificate and private key: use PEM files that can be read"},
	{"OTEL_TRACES_SAMPLER", matches(`(?i)(parentbased_)?(always_on|always_off|traceidratio)`),
		"is unknown: use always_on, always_off or traceidratio, or one of them after parentbased_"},
	{"OTEL_TRACES_SAMPLER_ARG", validRatio, "is not a ratio: use a number from 0 to 1"},
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

// validClientCertificate requires the key of the same kind: OpenTelemetry ignores another.
func validClientCertificate(file string) bool {
	name, _ := variable(clientCertificate)
	_, err := tls.LoadX509KeyPair(file, strings.TrimSpace(os.Getenv(strings.TrimSuffix(name, "CERTIFICATE")+"KEY")))
	return err == nil
}

func validRatio(text string) bool {
	ratio, err := strconv.ParseFloat(text, 64)
	return err == nil && ratio >= 0 && ratio <= 1
}
