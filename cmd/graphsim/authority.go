package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"outlook-monitor/internal/graphsim"
)

// authority returns that of --ca-file, made and written if it is not there yet;
// nil without the flag.
func (f flags) authority() (*graphsim.Authority, error) {
	if f.CAFile == "" {
		return nil, nil
	}
	keyFile := f.CAFile + ".key"
	certificate, err := os.ReadFile(f.CAFile)
	key, keyErr := os.ReadFile(keyFile)
	err = errors.Join(err, keyErr)
	switch {
	case errors.Is(err, fs.ErrNotExist): // one alone is of no use
		return newAuthority(f.CAFile, keyFile)
	case err != nil:
		return nil, fmt.Errorf("read the certificate authority: %w", err)
	}
	authority, err := graphsim.ParseAuthority(certificate, key)
	if err != nil {
		return nil, fmt.Errorf("%s and %s are no certificate authority, delete both to have one made: %w", f.CAFile, keyFile, err)
	}
	return authority, nil
}

// newAuthority makes one and writes both its files, the key first.
func newAuthority(certificateFile, keyFile string) (*graphsim.Authority, error) {
	authority, err := graphsim.NewAuthority()
	if err != nil {
		return nil, fmt.Errorf("make a certificate authority: %w", err)
	}
	key, err := authority.KeyPEM()
	if err != nil {
		return nil, fmt.Errorf("make a certificate authority: %w", err)
	}
	if err := os.Remove(keyFile); err != nil && !errors.Is(err, fs.ErrNotExist) { // others might read it
		return nil, fmt.Errorf("write the certificate authority: %w", err)
	}
	if err := os.WriteFile(keyFile, key, 0o600); err != nil {
		return nil, fmt.Errorf("write the certificate authority: %w", err)
	}
	if err := os.WriteFile(certificateFile, authority.CertificatePEM(), 0o644); err != nil {
		return nil, fmt.Errorf("write the certificate authority: %w", err)
	}
	return authority, nil
}
