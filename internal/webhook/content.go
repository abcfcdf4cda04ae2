package webhook

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
)

// Why content can't be opened. What is wrong with it is not said, so that nobody
// learns by trying.
var (
	errSealed      = errors.New("the encrypted content is not Graph's")
	errCertificate = errors.New("the encrypted content is for a certificate that is not here")
)

// Bounds of encrypted content, as base64.
const (
	maxData      = 2 << 20
	maxWrapped   = 1 << 10 // a key of 4096 bits makes 684
	maxSignature = 64
)

// sealed is resource data that only the holder of a certificate can read, as base64.
type sealed struct {
	Data          text `json:"data"`
	DataKey       text `json:"dataKey"`
	DataSignature text `json:"dataSignature"`
	CertificateID text `json:"encryptionCertificateId"`
}

// open checks and decrypts s. The error is errSealed or errCertificate.
func (c *Certificates) open(s sealed) ([]byte, error) {
	if s.CertificateID == "" || len(s.Data) > maxData || len(s.DataKey) > maxWrapped || len(s.DataSignature) > maxSignature {
		return nil, errSealed
	}
	key := c.key(string(s.CertificateID))
	if key == nil {
		return nil, errCertificate
	}
	var parts [3][]byte
	for i, part := range []text{s.DataKey, s.Data, s.DataSignature} {
		var err error
		if parts[i], err = base64.StdEncoding.DecodeString(string(part)); err != nil {
			return nil, errSealed
		}
	}
	secret, err := rsa.DecryptOAEP(sha1.New(), nil, key, parts[0], nil)
	if err != nil {
		return nil, errSealed
	}
	return unseal(secret, parts[1], parts[2])
}

const secretSize = 32 // of AES-256

// unseal decrypts what was signed with the same secret: a JSON object.
func unseal(secret, data, signature []byte) ([]byte, error) {
	if len(secret) != secretSize {
		return nil, errSealed
	}
	mac := hmac.New(sha256.New, secret)
	mac.Write(data)
	if !hmac.Equal(mac.Sum(nil), signature) || len(data) == 0 || len(data)%aes.BlockSize != 0 {
		return nil, errSealed
	}
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, errSealed
	}
	plain := make([]byte, len(data))
	cipher.NewCBCDecrypter(block, secret[:aes.BlockSize]).CryptBlocks(plain, data)
	plain, ok := unpad(plain)
	var object map[string]json.RawMessage
	if !ok || json.Unmarshal(plain, &object) != nil || object == nil {
		return nil, errSealed
	}
	return plain, nil
}

// unpad takes off the filling of the last block (PKCS #7). Whoever gets here has
// shown the secret, so that it need not take the same time for all.
func unpad(plain []byte) ([]byte, bool) {
	fill := int(plain[len(plain)-1])
	if fill == 0 || fill > aes.BlockSize {
		return nil, false
	}
	body, filling := plain[:len(plain)-fill], plain[len(plain)-fill:]
	for _, b := range filling {
		if int(b) != fill {
			return nil, false
		}
	}
	return body, true
}
