package main

import (
	"bytes"
	"cmp"
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
	users, err := api.users(ctx)
	if err != nil {
		return err
	}
	var text bytes.Buffer
	lines := json.NewEncoder(&text)
	lines.SetEscapeHTML(false)
	for _, u := range users {
		if err := lines.Encode(exportedUser{u.Email, u.ID, u.UserPrincipalName, u.DisplayName}); err != nil {
			return err
		}
	}
	if c.File == "" {
		_, err = text.WriteTo(out)
	} else {
		err = replaceFile(c.File, text.Bytes())
	}
	if err != nil {
		return fmt.Errorf("write the users: %w", err)
	}
	_, err = fmt.Fprintf(errs, "%s exported.\n", plural(len(users), "user"))
	return err
}

// replaceFile writes a file as a whole, or leaves it as it is.
func replaceFile(path string, text []byte) error {
	file, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name()) // fails after the rename
	_, err = file.Write(text)
	if err := cmp.Or(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	return os.Rename(file.Name(), path)
}
