package certs_test

import (
	"crypto/x509"
	"encoding/json"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/certtest"
	"outlook-monitor/internal/filetest"
	"outlook-monitor/internal/must"
	"outlook-monitor/internal/programtest"
)

// acmeServer is a real ACME server (pebble) on loopback, in a child process. It verifies
// domains at a port of this machine, because its DNS server resolves every name to 127.0.0.1.
type acmeServer struct {
	directory string         // URL
	caFile    string         // certificate authority of its own certificate
	roots     *x509.CertPool // of the certificates that it issues
	log       programtest.Log
}

// orders returns the number of ordered certificates.
func (a *acmeServer) orders() int { return strings.Count(a.log.String(), "Added order ") }

func startACMEServer(t *testing.T, port int) *acmeServer {
	t.Helper()
	certFile, keyFile := certtest.Files(t, certtest.Key(t), "127.0.0.1", time.Now().Add(time.Hour))
	address, management := programtest.FreeAddress(t), programtest.FreeAddress(t)
	text, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress": address, "managementListenAddress": management, "certificate": certFile, "privateKey": keyFile,
		"httpPort": port, "tlsPort": port, "keyAlgorithm": "ecdsa",
	}})
	must.NoError(t, err)
	config := filetest.Temp(t, "config.json", string(text))

	a := &acmeServer{directory: "https://" + address + "/dir", caFile: certFile, roots: x509.NewCertPool(), log: programtest.NewLog(t, "the ACME server")}
	dns := programtest.FreeAddress(t)
	a.start(t, "pebble-challtestsrv", "-dnsserver", dns, "-defaultIPv4", "127.0.0.1", "-defaultIPv6", "",
		"-http01", "", "-https01", "", "-doh", "", "-tlsalpn01", "", "-management", programtest.FreeAddress(t))
	process := a.start(t, "pebble", "-strict", "-config", config, "-dnsserver", dns)
	client := certtest.Client(t, filetest.Read(t, certFile))
	await.True(t, "the DNS server accepts connections", func() bool {
		conn, err := net.Dial("tcp", dns)
		return err == nil && conn.Close() == nil
	})
	await.True(t, "the ACME server answers", func() bool {
		if !process.Alive() {
			t.Fatal("the ACME server exited")
		}
		status, _ := programtest.Get(t, client, a.directory)
		return status > 0
	})
	if _, root := programtest.Get(t, client, "https://"+management+"/roots/0"); !a.roots.AppendCertsFromPEM([]byte(root)) {
		t.Fatal("the ACME server returned no root certificate")
	}
	return a
}

// start runs a program of pebble's.
func (a *acmeServer) start(t *testing.T, name string, args ...string) *programtest.Process {
	t.Helper()
	path, err := exec.CommandContext(t.Context(), "go", "tool", "-modfile=../../scripts/tools/go.mod", "-n", name).Output()
	if err != nil {
		t.Fatalf("build %s: %v", name, err)
	}
	cmd := exec.Command(strings.TrimSpace(string(path)), args...)
	cmd.Env = []string{"PEBBLE_VA_NOSLEEP=1"}
	return a.log.Start(cmd)
}
