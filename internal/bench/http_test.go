package bench_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"

	"outlook-monitor/internal/must"
)

// client is used for all plain HTTP requests.
var client = &http.Client{Transport: &http.Transport{
	MaxIdleConns: 1000, MaxIdleConnsPerHost: 1000, DisableCompression: true,
}}

// send sends a JSON body and returns the answer. Without an answer the status is 0 and
// the text is the error.
func send(method, url string, body []byte) (status int, answer []byte) {
	request, err := http.NewRequest(method, url, bytes.NewReader(body))
	if err != nil {
		return 0, []byte(err.Error())
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := client.Do(request)
	if err != nil {
		return 0, []byte(err.Error())
	}
	defer response.Body.Close()
	if answer, err = io.ReadAll(response.Body); err != nil {
		return 0, []byte(err.Error())
	}
	return response.StatusCode, answer
}

// post sends a JSON body and checks the status of the answer.
func post(url string, body []byte, want int) error {
	if status, answer := send(http.MethodPost, url, body); status != want {
		return fmt.Errorf("POST %s = %d %.200s, want %d", url, status, answer, want)
	}
	return nil
}

func encode(t testing.TB, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	must.NoError(t, err)
	return text
}
