package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"outlook-monitor/internal/graphsim"
)

// authority reads the authority in --ca-file, or creates it if it does not exist. It
// returns nil without the flag.
func (f flags) authority() (*graphsim.Authority, error) {
	if f.CAFile == "" {
		return nil, nil
	}
	keyFile := f.CAFile + ".key"
	certificate, err := os.ReadFile(f.CAFile)
	key, keyErr := os.ReadFile(keyFile)
	err = errors.Join(err, keyErr)
	switch {
	case errors.Is(err, fs.ErrNotExist): // both files are needed
		return newAuthority(f.CAFile, keyFile)
	case err != nil:
		return nil, fmt.Errorf("read the certificate authority: %w", err)
	}
	authority, err := graphsim.ParseAuthority(certificate, key)
	if err != nil {
		return nil, fmt.Errorf("%s and %s are not a valid certificate authority, delete both to create a new one: %w", f.CAFile, keyFile, err)
	}
	return authority, nil
}

// newAuthority creates an authority and writes its files, the key first.
func newAuthority(certificateFile, keyFile string) (*graphsim.Authority, error) {
	authority, err := graphsim.NewAuthority()
	if err != nil {
		return nil, fmt.Errorf("create the certificate authority: %w", err)
	}
	key, err := authority.KeyPEM()
	if err != nil {
		return nil, fmt.Errorf("create the certificate authority: %w", err)
	}
	if err := os.Remove(keyFile); err != nil && !errors.Is(err, fs.ErrNotExist) { // WriteFile keeps the mode of an existing file
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
