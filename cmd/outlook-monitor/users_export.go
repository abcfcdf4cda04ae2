package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// usersExportCmd writes the monitored users as lines of JSON, for another Redis. Only the
// addresses matter to an import: everything else is read again from Graph.
type usersExportCmd struct {
	File string `name:"file" placeholder:"PATH" help:"Write to this file instead of standard output, once the export is complete."`
}

// exportedUser is one line.
type exportedUser struct {
	Email             string `json:"email"` // in the mediator's spelling
	ID                string `json:"id"`
	UserPrincipalName string `json:"userPrincipalName"`
	DisplayName       string `json:"displayName"`
}

// Run writes one line for each user.
func (c *usersExportCmd) Run(ctx context.Context, out io.Writer, errs stderr, api *usersAPI) error {
	n, err := 0, error(nil)
	if c.File == "" {
		n, err = api.export(ctx, out)
	} else {
		n, err = api.exportFile(ctx, c.File)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(errs, "%s exported.\n", plural(n, "user"))
	return err
}

// exportFile replaces the file only once the export is complete.
func (a *usersAPI) exportFile(ctx context.Context, path string) (n int, err error) {
	file, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return 0, fmt.Errorf("write the users: %w", err)
	}
	defer os.Remove(file.Name()) // fails after the rename
	defer file.Close()
	if n, err = a.export(ctx, file); err != nil {
		return n, err
	}
	for _, finish := range []func() error{file.Sync, file.Close, func() error { return os.Rename(file.Name(), path) }} {
		if err := finish(); err != nil {
			return n, fmt.Errorf("write the users: %w", err)
		}
	}
	return n, nil
}

// export writes all users and returns their number.
func (a *usersAPI) export(ctx context.Context, out io.Writer) (n int, err error) {
	users, err := a.users(ctx)
	if err != nil {
		return 0, err
	}
	var text bytes.Buffer
	lines := json.NewEncoder(&text)
	lines.SetEscapeHTML(false)
	for _, u := range users {
		if err := lines.Encode(exportedUser{u.Email, u.ID, u.UserPrincipalName, u.DisplayName}); err != nil {
			return 0, err
		}
	}
	_, err = text.WriteTo(out)
	return len(users), err
}
