// Package comanda is a client of Comanda, the order tracking service.
package comanda

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"

	pb "github.com/comanda/comanda/clients/go/comandav1"
)

// Well above the largest page, which is about 1 MiB.
const maxResponseBytes = 16 << 20

// Pings find out whether the other side of a silent stream is still there.
var pings = keepalive.ClientParameters{Time: 20 * time.Second, Timeout: 10 * time.Second}

// Config says where the servers are, and how patient to be with them. Only Address is needed.
type Config struct {
	// Address is the server's host and port. An IPv6 address stands in brackets.
	Address string
	// Addresses of services that are elsewhere, by the service's name: {"WatchService": "10.0.0.3:50053"}.
	Addresses map[string]string
	// TLS encrypts connections; &tls.Config{} trusts the system's certificates. Without it everybody on the way can read a token.
	TLS *tls.Config
	// Token, if set, returns what is sent with every call as a bearer token.
	Token func(context.Context) (string, error)
	// Deadline is the time for each call whose context has none, with its repetitions. Watches have none. Default: 10 s.
	Deadline time.Duration
	// Silence: a stream that sends nothing for so long, not even a heartbeat, is opened again. Default: 45 s, three heartbeats.
	Silence time.Duration
	// FirstWait before a call is repeated or a watch resumed, doubled with each failure in a row; jitter may double each. Default: 250 ms.
	FirstWait time.Duration
	// LongestWait is the longest of these waits. Default: 15 s.
	LongestWait time.Duration
}

// Client is a client of Comanda. Goroutines may share it.
//
// The services are generated stubs. Each call has a deadline, is repeated where that is safe, and fails with an *Error. The contract of each is at
// its rpc in proto/comanda/v1. WatchOrder, WatchOrders and WatchCourier resume; the streams of Watches do not.
type Client struct {
	Orders    pb.OrderServiceClient
	Lifecycle pb.LifecycleServiceClient
	Watches   pb.WatchServiceClient
	Mails     pb.MailServiceClient
	Dispatch  pb.DispatchServiceClient
	Analytics pb.AnalyticsServiceClient

	config      Config
	connections map[string]*grpc.ClientConn
	closed      context.Context
	close       context.CancelCauseFunc
}

// Connect returns a client. It connects at its first call, and the connections repair themselves. An error means that the config cannot be used.
func Connect(config Config) (*Client, error) {
	config.Deadline = orDefault(config.Deadline, 10*time.Second)
	config.Silence = orDefault(config.Silence, 45*time.Second)
	config.FirstWait = orDefault(config.FirstWait, 250*time.Millisecond)
	config.LongestWait = orDefault(config.LongestWait, 15*time.Second)
	c := &Client{config: config, connections: map[string]*grpc.ClientConn{}}
	c.closed, c.close = context.WithCancelCause(context.Background())
	if err := c.connectAll(); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// Close closes the connections. Calls and watches that are under way fail with CANCELLED.
func (c *Client) Close() error {
	c.close(errors.New("the client was closed"))
	var err error
	for _, connection := range c.connections {
		err = errors.Join(err, connection.Close())
	}
	return err
}

func orDefault(value, otherwise time.Duration) time.Duration {
	if value == 0 {
		return otherwise
	}
	return value
}

func (c *Client) newWaits() *waits { return newWaits(c.config.FirstWait, c.config.LongestWait) }

func (c *Client) connectAll() error {
	services := map[string]func(grpc.ClientConnInterface){
		"OrderService":     func(to grpc.ClientConnInterface) { c.Orders = pb.NewOrderServiceClient(to) },
		"LifecycleService": func(to grpc.ClientConnInterface) { c.Lifecycle = pb.NewLifecycleServiceClient(to) },
		"WatchService":     func(to grpc.ClientConnInterface) { c.Watches = pb.NewWatchServiceClient(to) },
		"MailService":      func(to grpc.ClientConnInterface) { c.Mails = pb.NewMailServiceClient(to) },
		"DispatchService":  func(to grpc.ClientConnInterface) { c.Dispatch = pb.NewDispatchServiceClient(to) },
		"AnalyticsService": func(to grpc.ClientConnInterface) { c.Analytics = pb.NewAnalyticsServiceClient(to) },
	}
	for service := range c.config.Addresses {
		if services[service] == nil {
			return fmt.Errorf("comanda: Addresses: %q is no service of the API", service)
		}
	}
	for service, use := range services {
		connection, err := c.connection(service)
		if err != nil {
			return fmt.Errorf("comanda: %w", err)
		}
		use(connection)
	}
	return nil
}

// connection returns the one to a service. Services at one address share it.
func (c *Client) connection(service string) (*grpc.ClientConn, error) {
	address := c.config.Address
	if elsewhere, ok := c.config.Addresses[service]; ok {
		address = elsewhere
	}
	if known, ok := c.connections[address]; ok {
		return known, nil
	}
	connection, err := grpc.NewClient(address, c.dialOptions()...)
	if err == nil {
		c.connections[address] = connection
	}
	return connection, err
}

func (c *Client) dialOptions() []grpc.DialOption {
	security := insecure.NewCredentials()
	if c.config.TLS != nil {
		security = credentials.NewTLS(c.config.TLS)
	}
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(security),
		grpc.WithUnaryInterceptor(c.repeat),
		grpc.WithKeepaliveParams(pings),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxResponseBytes)),
		grpc.WithUserAgent("comanda-go/0.1.0"),
	}
	if c.config.Token != nil {
		options = append(options, grpc.WithPerRPCCredentials(tokens(c.config.Token)))
	}
	return options
}
