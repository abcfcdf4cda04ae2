package graphsim

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"strings"
)

// encryptionKey parses an encryptionCertificate: base64 of an X.509 certificate with an RSA
// key of 2048 to 4096 bits. It returns false for anything else.
func encryptionKey(certificate string) (key *rsa.PublicKey, der []byte, ok bool) {
	der, err := base64.StdEncoding.DecodeString(certificate)
	if err != nil {
		return nil, nil, false
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, nil, false
	}
	key, ok = cert.PublicKey.(*rsa.PublicKey)
	return key, der, ok && key.N.BitLen() >= 2048 && key.N.BitLen() <= 4096
}

// checkResourceData checks the conditions for notifications with resource data.
func checkResourceData(t target, certificate, id string) *reply {
	switch {
	case t.collection == collectionUsers:
		return invalidRequest("Resource data is not supported for the resource.")
	case !t.selected:
		return invalidRequest("Subscriptions with resource data must have a $select in the resource.")
	case id == "":
		return invalidRequest("The property 'encryptionCertificateId' is required.")
	}
	if _, _, ok := encryptionKey(certificate); !ok {
		return invalidRequest("encryptionCertificate is not a base64 encoded X.509 certificate with an RSA key of 2048 to 4096 bits.")
	}
	return nil
}

// encrypt encrypts data for the holder of the subscription's certificate, which was checked
// when it was set.
func encrypt(sub Subscription, data []byte) map[string]any {
	public, der, _ := encryptionKey(sub.EncryptionCertificate)
	key := make([]byte, 32)
	_, _ = rand.Read(key)          // never fails
	block, _ := aes.NewCipher(key) // fails only for other lengths
	fill := aes.BlockSize - len(data)%aes.BlockSize
	padded := append(bytes.Clone(data), bytes.Repeat([]byte{byte(fill)}, fill)...)
	cipher.NewCBCEncrypter(block, key[:aes.BlockSize]).CryptBlocks(padded, padded)
	signature := hmac.New(sha256.New, key)
	signature.Write(padded)
	wrapped, _ := rsa.EncryptOAEP(sha1.New(), rand.Reader, public, key, nil) // fails only for short keys
	thumbprint := sha1.Sum(der)
	return map[string]any{
		"data":                            base64.StdEncoding.EncodeToString(padded),
		"dataSignature":                   base64.StdEncoding.EncodeToString(signature.Sum(nil)),
		"dataKey":                         base64.StdEncoding.EncodeToString(wrapped),
		"encryptionCertificateId":         sub.EncryptionCertificateID,
		"encryptionCertificateThumbprint": strings.ToUpper(hex.EncodeToString(thumbprint[:])),
	}
}
