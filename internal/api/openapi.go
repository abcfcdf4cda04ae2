package api

import (
	_ "embed" // of openapi.json
	"net/http"
	"slices"

	"github.com/gin-gonic/gin"
)

//go:embed openapi.json
var openapi []byte

// OpenAPI returns the description of this API, of Graph's callbacks and of what
// the mediator is told, as an OpenAPI 3.1 document in JSON. Tests compare it with
// the routes and with their answers.
func OpenAPI() []byte { return slices.Clone(openapi) }

func (a *API) describe(c *gin.Context) {
	c.Data(http.StatusOK, "application/json; charset=utf-8", openapi)
}
