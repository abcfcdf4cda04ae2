package doctor

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"os"
	"slices"
)

// certificates looks when those end that lie in files of ours.
func (e *examination) certificates(context.Context) verdict {
	s := e.cfg.Settings
	var all []verdict
	if s.TLSCertFile != "" {
		all = append(all, life("TLS_CERT_FILE", s.TLSCertFile, "renew it; the service takes the new file by itself"))
	}
	for _, file := range s.EncryptionCertFiles {
		all = append(all, life("ENCRYPTION_CERT_FILE", file, "put a new pair in front of it, and take this one out a day later"))
	}
	if len(all) == 0 {
		if len(s.ACMEDomains) > 0 {
			return well("kept fresh by ACME")
		}
		return well("none of ours: TLS ends elsewhere")
	}
	return slices.MaxFunc(all, func(a, b verdict) int { return weight[a.status] - weight[b.status] })
}

var weight = map[Status]int{Warning: 1, Failed: 2}

// life says when the first certificate in a file ends.
func life(setting, file, remedy string) verdict {
	text, err := os.ReadFile(file)
	if err != nil {
		return failed(setting+" names a file that can't be read", "check the path and its permissions")
	}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		if c, err := x509.ParseCertificate(block.Bytes); err == nil {
			return lifeOf("the one in "+setting, c.NotAfter, remedy)
		}
	}
	return failed(setting+" names a file without a certificate", "write it as PEM")
}
