// The shop's front: asks stock and prices, and renders a page.
package main

import (
	"context"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"net/url"
	"os"

	"flametap.dev/examples/shop/tracing"
)

var page = template.Must(template.New("basket").Parse(
	`<h1>{{.Customer}}</h1><ul>{{range .Lines}}<li>{{.}}</li>{{end}}</ul><p>{{.Stock}}, {{.Price}}</p>`))

func ask(ctx context.Context, service, path, item string) (string, error) {
	address := os.Getenv(service) + path + "?item=" + url.QueryEscape(item)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return "", err
	}
	response, err := tracing.Client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answered %s", service, response.Status)
	}
	return string(body), err
}

func renderBasket(w io.Writer, customer, stock, price string) error {
	lines := make([]string, 400)
	for i := range lines {
		lines[i] = fmt.Sprintf("%s item %d", customer, i)
	}
	return page.Execute(w, map[string]any{
		"Customer": customer, "Lines": lines, "Stock": stock, "Price": price,
	})
}

func basket(w http.ResponseWriter, r *http.Request) {
	item := r.URL.Query().Get("item")
	stock, err := ask(r.Context(), "STOCK_URL", "/reserve", item)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	price, err := ask(r.Context(), "PRICES_URL", "/quote", item)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	if err := renderBasket(w, item, stock, price); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

func main() {
	tracing.Serve(os.Getenv("LISTEN"), map[string]http.HandlerFunc{"/basket": basket})
}
