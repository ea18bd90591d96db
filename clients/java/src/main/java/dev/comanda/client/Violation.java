package dev.comanda.client;

/**
 * A field that is wrong.
 *
 * @param field its path, such as {@code items[3].quantity}
 * @param description what is wrong with it
 */
public record Violation(String field, String description) {}
