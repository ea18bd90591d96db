package comanda

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"testing"

	"github.com/google/uuid"
	"google.golang.org/genproto/googleapis/type/money"

	pb "github.com/comanda/comanda/clients/go/comandav1"
)

// What the tests talk to is started by scripts/check-clients, which sets these variables; clients/testing/server.py explains them.

func variable(t *testing.T, name string) string {
	t.Helper()
	value := os.Getenv("COMANDA_TEST_" + name)
	if value == "" {
		t.Fatal("this test needs a server: run scripts/check-clients go")
	}
	return value
}

func control(t *testing.T, path string) string {
	t.Helper()
	answer, err := http.Get(variable(t, "SCENARIOS") + "/" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// scenario of clients/scenarios.json, with the address at which it is played.
type scenario struct {
	Name      string
	RPC       string
	Request   json.RawMessage
	Address   string
	Stalls    bool
	Told      []string
	Versions  map[string]int64
	Snapshots int
	Outcome   string
}

func scenarios(t *testing.T) []scenario {
	t.Helper()
	var all []scenario
	if err := json.Unmarshal([]byte(control(t, "scenarios")), &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// cuts says how many connections were cut until now.
func cuts(t *testing.T) int {
	t.Helper()
	var faults struct{ Cutting int }
	if err := json.Unmarshal([]byte(control(t, "faults")), &faults); err != nil {
		t.Fatal(err)
	}
	return faults.Cutting
}

func connect(t *testing.T, config Config) *Client {
	t.Helper()
	client, err := Connect(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

func newCustomer() string { return "go-" + uuid.NewString() }

func orderOf(customerID string) *pb.CreateOrderRequest {
	item := &pb.Item{Name: "Empanada", Quantity: 3, UnitPrice: &money.Money{CurrencyCode: "CLP", Units: 1500}}
	return &pb.CreateOrderRequest{Customer: &pb.Customer{CustomerId: customerID}, Items: []*pb.Item{item}}
}
