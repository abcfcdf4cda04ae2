package graph

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"software.sslmate.com/src/go-pkcs12"

	"outlook-monitor/internal/ooo"
)

// certificate reads the client certificate with its chain and private key, from PEM or
// PKCS#12. azidentity does not read PKCS#12 with AES and SHA-256, which OpenSSL 3, keytool
// and Windows write.
func (cfg Config) certificate() ([]*x509.Certificate, crypto.PrivateKey, error) {
	data, err := os.ReadFile(cfg.CertificatePath)
	if err != nil {
		return nil, nil, fmt.Errorf("AZURE_CLIENT_CERTIFICATE_PATH can't be read: %w", err)
	}
	if block, _ := pem.Decode(data); block == nil {
		key, leaf, chain, err := pkcs12.DecodeChain(data, cfg.CertificatePassword)
		switch {
		case errors.Is(err, pkcs12.ErrIncorrectPassword):
			return nil, nil, errors.New("AZURE_CLIENT_CERTIFICATE_PASSWORD does not open AZURE_CLIENT_CERTIFICATE_PATH")
		case err != nil:
			return nil, nil, fmt.Errorf("AZURE_CLIENT_CERTIFICATE_PATH is neither PEM nor PKCS#12 with a certificate and its private key: %w", err)
		}
		return slices.Insert(chain, 0, leaf), key, nil
	}
	if hasEncryptedKey(data) {
		return nil, nil, errors.New("the private key in AZURE_CLIENT_CERTIFICATE_PATH is encrypted: decrypt it with openssl pkey, " +
			"or write certificate and key as PKCS#12 with openssl pkcs12 -export")
	}
	certificates, key, err := azidentity.ParseCertificates(data, nil)
	if err != nil {
		return nil, nil, fmt.Errorf("AZURE_CLIENT_CERTIFICATE_PATH must hold a certificate and its RSA private key: %w", err)
	}
	return certificates, key, nil
}

// hasEncryptedKey reports whether PEM data has a private key that needs a password, in
// PKCS#8 or in the older form of OpenSSL.
func hasEncryptedKey(data []byte) bool {
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED") {
			return true
		}
	}
	return false
}

// CertificateExpires returns the earliest expiry of the certificates in
// AZURE_CLIENT_CERTIFICATE_PATH.
func (cfg Config) CertificateExpires() (time.Time, error) {
	chain, _, err := cfg.certificate()
	if err != nil {
		return time.Time{}, fmt.Errorf("%w: %w", ooo.ErrUnauthorized, err)
	}
	return slices.MinFunc(chain, func(a, b *x509.Certificate) int { return a.NotAfter.Compare(b.NotAfter) }).NotAfter, nil
}
