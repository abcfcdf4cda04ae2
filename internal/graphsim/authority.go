package graphsim

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"time"
)

// authority signs the certificates of Servers. Clients that trust the authority trust each
// Server that uses it.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority() (*authority, error) {
	certificate, key, err := issue(&x509.Certificate{
		Subject:               pkix.Name{CommonName: "graphsim authority"},
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}, nil)
	return &authority{certificate, key}, err
}

// issue generates a key and a certificate that is valid for a year. It is self-signed if
// parent is nil.
func issue(template *x509.Certificate, parent *authority) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	now := time.Now()
	template.SerialNumber = big.NewInt(now.UnixNano())
	template.NotBefore, template.NotAfter = now.Add(-time.Hour), now.AddDate(1, 0, 0)
	if parent == nil {
		parent = &authority{template, key}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent.certificate, key.Public(), parent.key)
	if err != nil {
		return nil, nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	return certificate, key, err
}

// openAuthority reads the authority in a PEM file, with its key in file.key, or creates it if
// one of them does not exist. Who has the key can sign certificates that clients trust. Without
// a file the authority is new.
func openAuthority(file string) (*authority, error) {
	if file == "" {
		return newAuthority()
	}
	pair, err := tls.LoadX509KeyPair(file, file+".key")
	if errors.Is(err, fs.ErrNotExist) {
		return createAuthority(file)
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	switch {
	case err != nil:
	case !ok || !pair.Leaf.IsCA:
		err = errors.New("not an authority of graphsim")
	case time.Now().After(pair.Leaf.NotAfter):
		err = fmt.Errorf("expired on %s", pair.Leaf.NotAfter.Format(time.DateOnly))
	}
	if err != nil {
		return nil, fmt.Errorf("%s and its .key can't be used as certificate authority, delete both to create a new one: %w", file, err)
	}
	return &authority{pair.Leaf, key}, nil
}

func createAuthority(file string) (*authority, error) {
	a, err := newAuthority()
	if err != nil {
		return nil, err
	}
	key, err := x509.MarshalPKCS8PrivateKey(a.key)
	if err != nil {
		return nil, err
	}
	private := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})
	if err := os.Remove(file + ".key"); err != nil && !errors.Is(err, fs.ErrNotExist) { // WriteFile keeps the mode of an existing file
		return nil, err
	}
	if err := os.WriteFile(file+".key", private, 0o600); err != nil {
		return nil, err
	}
	return a, os.WriteFile(file, a.certificatePEM(), 0o644)
}

// certificatePEM returns the certificate that clients must trust.
func (a *authority) certificatePEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.certificate.Raw})
}

// sign issues the certificate of a server on loopback addresses and hosts.
func (a *authority) sign(hosts []string) (tls.Certificate, error) {
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "graphsim"},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:    []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	leaf, key, err := issue(template, a)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{leaf.Raw, a.certificate.Raw}, PrivateKey: key}, nil
}
