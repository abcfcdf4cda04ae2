package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"

	"outlook-monitor/internal/ooo"
)

type usersImportCmd struct {
	File string `name:"file" placeholder:"PATH" help:"Read this file instead of standard input."`
}

// Run imports all lines. A rejected line does not affect the others.
func (c *usersImportCmd) Run(ctx context.Context, out io.Writer, api *usersAPI) error {
	read := func() ([]byte, error) { return os.ReadFile(c.File) }
	if c.File == "" {
		read = func() ([]byte, error) { return io.ReadAll(os.Stdin) }
	}
	text, err := read()
	if err != nil {
		return fmt.Errorf("read the users: %w", err)
	}
	report, err := api.importLines(ctx, text)
	if err := cmp.Or(report.print(out, api.json), err); err != nil || len(report.Rejected) == 0 {
		return err
	}
	return fmt.Errorf("%d lines were not accepted: fix and import them again", len(report.Rejected))
}

// importReport is the result of an import.
type importReport struct {
	Accepted int          `json:"accepted"`
	Rejected []importLine `json:"refused"`
}

type importLine struct {
	Line  int    `json:"line"`
	Email string `json:"email,omitempty"`
	Error string `json:"error"` // why it is rejected
}

func (r *importReport) reject(line importLine, reason string) {
	line.Error = reason
	r.Rejected = append(r.Rejected, line)
}

func (r *importReport) print(out io.Writer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(out).Encode(r)
	}
	for _, l := range r.Rejected {
		where := fmt.Sprintf("line %d", l.Line)
		if l.Email != "" {
			where += fmt.Sprintf(" (%.80s)", printable(l.Email))
		}
		if _, err := fmt.Fprintf(out, "%s: %s\n", where, printable(l.Error)); err != nil {
			return err
		}
	}
	next := "."
	if r.Accepted > 0 {
		next = "; they will be looked up in the directory."
	}
	_, err := fmt.Fprintf(out, "%s accepted%s\n", plural(r.Accepted, "user"), next)
	return err
}

const (
	chunkSize = 1000     // users in one request
	maxLine   = 64 << 10 // bytes
)

// importLines imports all valid lines. The error says why it stopped early.
func (a *usersAPI) importLines(ctx context.Context, text []byte) (*importReport, error) {
	report, valid, number := &importReport{Rejected: []importLine{}}, []importLine(nil), 0
	for line := range bytes.Lines(bytes.TrimPrefix(text, []byte("\ufeff"))) {
		number++
		line = bytes.TrimSpace(line)
		switch email, err := addressIn(line); {
		case len(line) > maxLine:
			report.reject(importLine{Line: number}, "too long for a user")
		case len(line) == 0:
		case err != nil:
			report.reject(importLine{Line: number, Email: email}, err.Error())
		default:
			valid = append(valid, importLine{Line: number, Email: email})
		}
	}
	for chunk := range slices.Chunk(valid, chunkSize) {
		if err := a.importChunk(ctx, chunk, report); err != nil {
			return report, fmt.Errorf("nothing was imported from line %d on: %w; fix that and import all again", chunk[0].Line, err)
		}
	}
	return report, nil
}

// addressIn returns the address in a line.
func addressIn(text []byte) (string, error) {
	var u struct {
		Email *string `json:"email"`
	}
	if !json.Valid(text) {
		return "", errors.New("not JSON")
	}
	if json.Unmarshal(text, &u) != nil || u.Email == nil {
		return "", errors.New(`not a JSON object with "email"`)
	}
	email, err := ooo.ParseAddress(*u.Email)
	return cmp.Or(email, *u.Email), err
}

// importChunk imports one chunk and adds the results to the report.
func (a *usersAPI) importChunk(ctx context.Context, chunk []importLine, report *importReport) error {
	var emails []string
	for _, l := range chunk {
		emails = append(emails, l.Email)
	}
	text, err := json.Marshal(map[string][]string{"emails": emails})
	if err != nil {
		return err
	}
	_, body, err := a.call(ctx, http.MethodPost, "", "", nil, text)
	if err != nil {
		return err
	}
	var answer struct {
		Results []struct{ Result, Error string }
	}
	if json.Unmarshal(body, &answer) != nil || len(answer.Results) != len(chunk) {
		return errNotService(a.base)
	}
	for i, result := range answer.Results {
		if result.Result == "accepted" {
			report.Accepted++
		} else {
			report.reject(chunk[i], cmp.Or(result.Error, "not accepted"))
		}
	}
	return nil
}
