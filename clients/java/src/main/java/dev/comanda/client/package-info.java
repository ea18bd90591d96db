/** Client of Comanda, the order tracking service. Begin at {@link dev.comanda.client.Comanda}; the messages are in {@code dev.comanda.v1}. */
package dev.comanda.client;
