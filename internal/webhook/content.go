package webhook

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"errors"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Why encrypted content is not accepted. errBadContent does not say what is wrong, so
// that a forger learns nothing from it.
var (
	errBadContent         = errors.New("invalid encrypted content")
	errUnknownCertificate = errors.New("encrypted for an unknown certificate")
)

// encryptedContent is resource data that only the holder of a certificate can read. The
// first three fields are base64.
type encryptedContent struct {
	Data          string `json:"data"`
	DataKey       string `json:"dataKey"`
	DataSignature string `json:"dataSignature"`
	CertificateID string `json:"encryptionCertificateId"`
}

// decrypt verifies and decrypts the JSON of an encryptedContent. It returns errBadContent
// or errUnknownCertificate if it can't; the latter if c is nil.
func (c *Certificates) decrypt(content jsontext.Value) ([]byte, error) {
	if c == nil {
		return nil, errUnknownCertificate
	}
	var encrypted encryptedContent
	if json.Unmarshal(content, &encrypted, lenient) != nil || encrypted.CertificateID == "" {
		return nil, errBadContent
	}
	key := c.key(encrypted.CertificateID)
	if key == nil {
		return nil, errUnknownCertificate
	}
	dataKey, err1 := base64.StdEncoding.DecodeString(encrypted.DataKey)
	data, err2 := base64.StdEncoding.DecodeString(encrypted.Data)
	signature, err3 := base64.StdEncoding.DecodeString(encrypted.DataSignature)
	if err1 != nil || err2 != nil || err3 != nil {
		return nil, errBadContent
	}
	secret, err := rsa.DecryptOAEP(sha1.New(), nil, key, dataKey, nil)
	if err != nil {
		return nil, errBadContent
	}
	return decryptData(secret, data, signature)
}

const secretSize = 32 // AES-256

// decryptData decrypts a JSON object that was signed with the same secret.
func decryptData(secret, data, signature []byte) ([]byte, error) {
	if len(secret) != secretSize {
		return nil, errBadContent
	}
	mac := hmac.New(sha256.New, secret)
	mac.Write(data)
	if !hmac.Equal(mac.Sum(nil), signature) || len(data) == 0 || len(data)%aes.BlockSize != 0 {
		return nil, errBadContent
	}
	block, _ := aes.NewCipher(secret) // fails only for another size
	padded := make([]byte, len(data))
	cipher.NewCBCDecrypter(block, secret[:aes.BlockSize]).CryptBlocks(padded, data)
	plain := jsontext.Value(unpad(padded))
	if plain.Kind() != '{' || !plain.IsValid(lenient) {
		return nil, errBadContent
	}
	return plain, nil
}

// unpad removes the padding of the last block (PKCS #7). It returns nil if that is invalid. It
// need not run in constant time: the signature has shown that the sender knows the secret.
func unpad(padded []byte) []byte {
	n := int(padded[len(padded)-1])
	if n == 0 || n > aes.BlockSize {
		return nil
	}
	plain := padded[:len(padded)-n]
	for _, b := range padded[len(plain):] {
		if int(b) != n {
			return nil
		}
	}
	return plain
}
