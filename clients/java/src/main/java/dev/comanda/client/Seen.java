package dev.comanda.client;

import dev.comanda.v1.Phase;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** What was handed out of each order: its last version, so that none is handed out twice, and whether it still moves. */
final class Seen {
  /** Orders in each of the two generations: a watch may last forever, and its memory must not grow with it. */
  private static final int GENERATION_SIZE = 100_000;

  private final int generationSize;
  private Map<String, Last> recent = new HashMap<>();
  private Map<String, Last> older = Map.of();
  private long snapshot;

  /** The snapshot is the one that was being read, or had been read, when the order was seen. */
  private record Last(long version, boolean hasEnded, long snapshot) {}

  Seen() {
    this(GENERATION_SIZE);
  }

  Seen(int generationSize) {
    this.generationSize = generationSize;
  }

  int size() {
    return recent.size() + older.size();
  }

  /** A new snapshot begins. */
  void beginSnapshot() {
    snapshot++;
  }

  /**
   * Notes a version, and says whether it is above all that were seen of its order. An order that was forgotten, because very many others moved since,
   * counts as new: a repeated transition may then be handed out twice, but none is left out.
   */
  boolean isNew(String orderId, long version, Phase phase) {
    Last known = recent.getOrDefault(orderId, older.get(orderId));
    boolean isNew = known == null || version > known.version;
    Last last = isNew ? new Last(version, isTerminal(phase), snapshot) : new Last(known.version, known.hasEnded, snapshot);
    if (recent.size() >= generationSize) {
      older = recent;
      recent = new HashMap<>();
    }
    recent.put(orderId, last);
    return isNew;
  }

  /**
   * The orders that had not ended when they were seen before the last snapshot began, and that were not seen since: they have ended meanwhile, or match
   * no more.
   */
  List<String> missing() {
    Map<String, Last> all = new HashMap<>(older);
    all.putAll(recent);
    all.values().removeIf(last -> last.hasEnded || last.snapshot >= snapshot);
    return all.keySet().stream().sorted().toList();
  }

  static boolean isTerminal(Phase phase) {
    return switch (phase) {
      case PHASE_SUCCEEDED, PHASE_CANCELLED, PHASE_REJECTED, PHASE_FAILED -> true;
      default -> false;
    };
  }
}
