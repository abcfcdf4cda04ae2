package webhook_test

import (
	"bytes"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"outlook-monitor/internal/certtest"
	"outlook-monitor/internal/filetest"
	"outlook-monitor/internal/must"
	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/webhook"
)

// Tests share keys, because generating them is slow.
var (
	key1    = sync.OnceValue(func() *rsa.PrivateKey { return newKey(2048) })
	key2    = sync.OnceValue(func() *rsa.PrivateKey { return newKey(2048) })
	key3    = sync.OnceValue(func() *rsa.PrivateKey { return newKey(2048) })
	weakKey = sync.OnceValue(func() *rsa.PrivateKey { return newKey(1024) })
)

func newKey(bits int) *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		panic(err)
	}
	return key
}

// files are the paths of a certificate and its private key.
type files struct{ cert, key string }

// writePair writes a certificate for a key, and the key, to files in a directory.
func writePair(t testing.TB, dir string, private crypto.Signer, life time.Duration) files {
	t.Helper()
	f := files{filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")}
	certificate, key := certtest.SelfSigned(t, private, "", time.Now().Add(-time.Hour), time.Now().Add(life))
	filetest.Write(t, f.cert, string(certificate))
	filetest.Write(t, f.key, string(key))
	return f
}

func loadCertificates(t testing.TB, pairs ...files) *webhook.Certificates {
	t.Helper()
	var certs, keys []string
	for _, f := range pairs {
		certs, keys = append(certs, f.cert), append(keys, f.key)
	}
	c, err := webhook.NewCertificates(certs, keys, slog.New(slog.DiscardHandler))
	must.NoError(t, err)
	return c
}

// encrypter encrypts resource data as Graph does for a subscription.
type encrypter struct {
	id  string
	key *rsa.PublicKey
}

// newEncrypter returns an encrypter for the current certificate.
func newEncrypter(t testing.TB, c *webhook.Certificates) encrypter {
	t.Helper()
	current := c.Current()
	der, err := base64.StdEncoding.DecodeString(current.Base64)
	must.NoError(t, err)
	parsed, err := x509.ParseCertificate(der)
	must.NoError(t, err)
	return encrypter{current.ID, parsed.PublicKey.(*rsa.PublicKey)}
}

// plainContent is content before it is encrypted.
type plainContent struct {
	secret []byte
	data   []byte // padded
	cut    int    // bytes to cut off the encrypted data before it is signed
}

// encrypt returns an encryptedContent. before changes the content before it is encrypted,
// edits change the resulting fields.
func (e encrypter) encrypt(t testing.TB, text string, before func(*plainContent), edits ...func(map[string]any)) map[string]any {
	t.Helper()
	padding := aes.BlockSize - len(text)%aes.BlockSize
	p := &plainContent{secret: make([]byte, 32), data: append([]byte(text), bytes.Repeat([]byte{byte(padding)}, padding)...)}
	_, _ = rand.Read(p.secret) // never fails
	if before != nil {
		before(p)
	}
	block, err := aes.NewCipher(p.secret)
	must.NoError(t, err)
	cipher.NewCBCEncrypter(block, p.secret[:aes.BlockSize]).CryptBlocks(p.data, p.data)
	p.data = p.data[:len(p.data)-p.cut]
	mac := hmac.New(sha256.New, p.secret)
	mac.Write(p.data)
	wrapped, err := rsa.EncryptOAEP(sha1.New(), rand.Reader, e.key, p.secret, nil)
	must.NoError(t, err)
	encode := base64.StdEncoding.EncodeToString
	fields := map[string]any{
		"data": encode(p.data), "dataKey": encode(wrapped), "dataSignature": encode(mac.Sum(nil)),
		"encryptionCertificateId": e.id, "encryptionCertificateThumbprint": "0123456789ABCDEF",
	}
	for _, edit := range edits {
		edit(fields)
	}
	return fields
}

// event is resource data.
const event = `{"id":"y","showAs":"oof","subject":"a secret of the user"}`

// item is a change notification with resource data.
func (e encrypter) item(t testing.TB, id ooo.ObjectID, edits ...func(map[string]any)) map[string]any {
	return changeItem(id, set("encryptedContent", e.encrypt(t, event, nil, edits...)))
}
