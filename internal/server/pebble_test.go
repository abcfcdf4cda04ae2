package server_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"outlook-monitor/internal/await"
	"outlook-monitor/internal/certtest"
	"outlook-monitor/internal/programtest"
)

// acmeServer is a real ACME server (pebble) on loopback, in a child process. It verifies
// domains at a port of this machine.
type acmeServer struct {
	directory string         // URL
	caFile    string         // certificate authority of its own certificate
	roots     *x509.CertPool // of the certificates that it issues
	log       *programtest.Output
}

// orders returns the number of ordered certificates.
func (a *acmeServer) orders() int { return strings.Count(a.log.String(), "Added order ") }

func startACMEServer(t *testing.T, port int) *acmeServer {
	t.Helper()
	dir := t.TempDir()
	config, certFile, keyFile := filepath.Join(dir, "config.json"), filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	program, err := exec.CommandContext(t.Context(), "go", "tool", "-modfile=../../scripts/tools/go.mod", "-n", "pebble").Output()
	if err != nil {
		t.Fatalf("build the ACME server: %v", err)
	}
	certificate, key := certtest.SelfSigned(t, certtest.Key(t), "127.0.0.1", time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	write(t, certFile, certificate)
	write(t, keyFile, key)
	address, management := programtest.FreeAddress(t), programtest.FreeAddress(t)
	text, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress": address, "managementListenAddress": management, "certificate": certFile, "privateKey": keyFile,
		"httpPort": port, "tlsPort": port, "keyAlgorithm": "ecdsa",
	}})
	if err != nil {
		t.Fatal(err)
	}
	write(t, config, text)

	a := &acmeServer{directory: "https://" + address + "/dir", caFile: certFile, roots: x509.NewCertPool(), log: &programtest.Output{}}
	cmd := exec.Command(strings.TrimSpace(string(program)), "-strict", "-config", config, "-dnsserver", resolver(t))
	cmd.Env = []string{"PEBBLE_VA_NOSLEEP=1"}
	cmd.Stdout, cmd.Stderr = a.log, a.log
	process := programtest.Start(t, cmd)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log of the ACME server:\n%s", a.log)
		}
	})
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(certificate)
	await.True(t, "the ACME server answers", func() bool {
		if !process.Alive() {
			t.Fatal("the ACME server exited")
		}
		return fetch(trusted, a.directory) != nil
	})
	if !a.roots.AppendCertsFromPEM(fetch(trusted, "https://"+management+"/roots/0")) {
		t.Fatal("the ACME server returned no root certificate")
	}
	return a
}

// fetch returns the body at a URL, or nil.
func fetch(trusted *x509.CertPool, url string) []byte {
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted}}
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport, Timeout: 10 * time.Second}).Get(url)
	if err != nil {
		return nil
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		return nil
	}
	return text
}

// resolver runs a DNS server (over TCP) that resolves every name to 127.0.0.1.
func resolver(t *testing.T) (address string) {
	t.Helper()
	ln := loopback(t)
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
				for resolve(conn) == nil {
				}
			})
		}
	})
	t.Cleanup(func() { _ = ln.Close(); running.Wait() })
	return ln.Addr().String()
}

// resolve answers one query. Over TCP each message has a length prefix.
func resolve(conn net.Conn) error {
	var length uint16
	if err := binary.Read(conn, binary.BigEndian, &length); err != nil {
		return err
	}
	text := make([]byte, length)
	if _, err := io.ReadFull(conn, text); err != nil {
		return err
	}
	var m dnsmessage.Message
	if err := m.Unpack(text); err != nil {
		return err
	}
	m.Response, m.RecursionAvailable, m.Additionals = true, true, nil
	for _, q := range m.Questions {
		if q.Type == dnsmessage.TypeA {
			m.Answers = append(m.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 1},
				Body:   &dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}},
			})
		}
	}
	answer, err := m.Pack()
	if err != nil {
		return err
	}
	_, err = conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...))
	return err
}
