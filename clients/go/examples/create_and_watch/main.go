// Creates an order and watches it to its end.
//
//	go run ./examples/create_and_watch [HOST:PORT] [HOST:PORT of notification, where it is elsewhere]
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"

	"google.golang.org/genproto/googleapis/type/money"

	comanda "github.com/comanda/comanda/clients/go"
	pb "github.com/comanda/comanda/clients/go/comandav1"
)

func main() {
	log.SetFlags(0)
	config := comanda.Config{Address: "127.0.0.1:50051"}
	if len(os.Args) > 1 {
		config.Address = os.Args[1]
	}
	if len(os.Args) > 2 {
		config.Addresses = map[string]string{"WatchService": os.Args[2]}
	}
	err := createAndWatch(context.Background(), config)
	var failure *comanda.Error
	if errors.As(err, &failure) && failure.Outcome() == comanda.OutcomeUnknown {
		log.Fatalf("%v; the call was perhaps applied", err)
	}
	if err != nil {
		log.Fatal(err)
	}
}

func createAndWatch(ctx context.Context, config comanda.Config) error {
	client, err := comanda.Connect(config)
	if err != nil {
		return err
	}
	defer client.Close()
	created, err := client.Orders.CreateOrder(ctx, &pb.CreateOrderRequest{
		Customer: &pb.Customer{CustomerId: "go", Email: "ana@example.com", Locale: "es"},
		Items: []*pb.Item{{
			Name: "Pizza Margherita", Quantity: 2, UnitPrice: &money.Money{CurrencyCode: "USD", Units: 12, Nanos: 500_000_000},
		}},
	})
	if err != nil {
		return err
	}
	order := created.GetOrder()
	fmt.Printf("order %d (%s): %d %s\n", order.GetNumber(), order.GetOrderId(), order.GetTotal().GetUnits(), order.GetTotal().GetCurrencyCode())
	for event, err := range client.WatchOrder(ctx, &pb.WatchOrderRequest{OrderId: order.GetOrderId()}) {
		if err != nil {
			return err
		}
		if moved := event.GetTransition(); moved != nil {
			fmt.Printf("  version %d: %s -> %s\n", moved.GetVersion(), orDash(moved.GetFromStatus()), moved.GetToStatus())
		}
	}
	return nil
}

func orDash(status string) string {
	if status == "" {
		return "-"
	}
	return status
}
